"""L-BFGS and Adam on pixels, or on whatever an image is made from: point by point, each with what it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

Objective = Callable[[Tensor], Mapping[str, Tensor]]  # (n, …) → its terms by name, each (n,); their sum is minimised
Point = tuple[Tensor, dict[str, Tensor]]  # the batch (N, …) and its terms by name, each (N,)


def lbfgs(objectives: Sequence[Objective], start: Tensor, line_search: bool = False) -> Iterator[Point]:
    """One L-BFGS for each item of a batch, in turn: a shared one would take one step length and curvature for all.

    Every point is given before the move away from it, so the first is `start`. There is no last one.

    Args:
        objectives: for each item of `start` a function of that item alone, (1, …).
        start: (N, …).
        line_search: False takes full steps, one evaluation each: on Gram matrices a search needed twice as many
            evaluations for the same loss. True keeps the strong Wolfe conditions, without which inversion from white
            noise does not settle; a step then takes now and then more than one evaluation.
    """
    problems = [_Problem(objective, item) for objective, item in zip(objectives, start.split(1), strict=True)]
    searches = [
        # torch's tolerances are absolute and would end a run early whose loss is small
        torch.optim.LBFGS(
            [problem.x],
            lr=1,
            max_iter=1,
            max_eval=25 if line_search else None,
            history_size=20,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe" if line_search else None,
        )
        for problem in problems
    ]
    while True:
        for problem in problems:
            problem.evaluate()  # a line search may have tried a further point last
        point = torch.cat([problem.x.detach() for problem in problems])
        yield point, {name: torch.cat([problem.terms[name] for problem in problems]) for name in problems[0].terms}
        for problem, search in zip(problems, searches, strict=True):
            search.step(problem.evaluate)


def adam(
    objective: Objective, start: Tensor, rate: float, within: tuple[float, float] | None = None
) -> Iterator[Point]:
    """Adam on a whole batch at once, which it treats number by number; points as in `lbfgs`.

    Args:
        objective: a function of the whole batch (N, …), no item of which may influence another's terms.
        start: (N, …).
        rate: learning rate: about how far a number moves in a step.
        within: cut every point to this range.
    """
    problem = _Problem(objective, start)
    # what Adam adds to the root that it divides by, 1e-8 by default, is much for the numbers of a gradient of length 1
    search = torch.optim.Adam([problem.x], lr=rate, eps=1e-12)
    while True:
        problem.evaluate()
        yield problem.x.detach().clone(), problem.terms
        search.step()
        if within is not None:
            with torch.no_grad():
                problem.x.clamp_(*within)


class _Problem:
    """What is optimised, its objective, and the value and gradient at the point where it is now.

    L-BFGS asks again for the value at the point where its last step ended; nothing is computed twice.

    Attributes:
        x: what is optimised, (n, …); the gradient is in `x.grad`.
        terms: the terms of the objective by name, each (n,).
    """

    def __init__(self, objective: Objective, start: Tensor):
        self.objective = objective
        self.x = start.detach().clone().requires_grad_()
        self.terms: dict[str, Tensor] = {}
        self._scale: Tensor | None = None
        self._at: Tensor | None = None

    def evaluate(self) -> Tensor:
        """Set `terms` and `x.grad`, and return the loss; loss and gradient are those of the scaled objective."""
        if self._at is None or not torch.equal(self._at, self.x):
            with torch.enable_grad():
                terms = self.objective(self.x)
                losses = sum(terms.values())
                (gradient,) = torch.autograd.grad(losses.sum(), self.x)
            if self._scale is None:
                # torch's L-BFGS skips an update where yᵀs < 1e-10, however small the loss is, and steps by the gradient
                # itself until it has made one: a first gradient of length 1 suits both. But for that, neither L-BFGS
                # nor Adam goes another way for a factor. Each item has its own, so that none depends on another.
                lengths = [float(item.norm()) for item in gradient]
                self._scale = gradient.new_tensor([1 / length if length > 0 else 1.0 for length in lengths])
            self.x.grad = gradient * self._scale.view(-1, *[1] * (gradient.ndim - 1))
            self.terms = {name: values.detach() for name, values in terms.items()}
            self._loss, self._at = (losses.detach() * self._scale).sum(), self.x.detach().clone()
        return self._loss
