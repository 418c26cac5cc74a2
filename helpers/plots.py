"""Figures, made without pyplot, so threads may draw too, and pictures that figures show.

Every function that returns a `matplotlib.figure.Figure` takes `alt`: what is to be seen, in one or two sentences for a
reader who cannot see it. By default that is made of titles, labels and legends (`helpers/showing.py`).
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from helpers.core import compute
from helpers.core.images import check, grid, to_pil
from helpers.showing import as_jpeg, takes_alt
from helpers.showing import described as described  # `plots.described` for what `alt=` does not reach

DPI = 80
FONT = 9
LINES = ("-", "--", "-.", ":")  # what differs by colour differs by line or mark as well, for every eye
MARKS = "osv^DPX*<>"


def setup(seed: int = 0) -> None:
    """The one line that opens a lesson: `compute.repeatable`, compact figures, and a word on where the work runs."""
    compute.repeatable(seed)
    matplotlib.rcParams.update({"font.size": FONT, "figure.dpi": DPI, "savefig.bbox": "tight"})
    as_jpeg()
    where = torch.cuda.get_device_name() if compute.device().type == "cuda" else "the CPU"
    print(f"Running on {where}.")


@takes_alt
def show(images, titles: Sequence[str] | None = None, columns: int | None = None, width: float = 9.0) -> Figure:
    """Pictures side by side, each under its title.

    Args:
        images: a batch (N, 3, H, W), or a list of single pictures (1, 3, H, W) of any sizes.
        titles: one a picture.
        columns: pictures a row; default: all in one row up to eight.
        width: of the figure in inches.
    """
    pictures = [to_pil(image) for image in images]
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"titles must have one entry for each of the {len(pictures)} pictures, not {len(titles)}")
    figure, axes = _tiles(len(pictures), columns, width, pictures[0].height / pictures[0].width, titles is not None)
    for i, picture in enumerate(pictures):
        axes[i].imshow(picture, interpolation="nearest" if max(picture.size) < 64 else None)
        if titles is not None:
            axes[i].set_title(titles[i], fontsize=FONT)
    return figure


def _tiles(count, columns, width, aspect, titled):
    """A figure of `count` bare axes, high enough for tiles of the given height / width."""
    columns = min(columns or 8, count)
    rows = -(-count // columns)
    tile = width / columns
    figure = Figure(figsize=(width, rows * (tile * aspect + (0.3 if titled else 0.05))), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    return figure, axes


@takes_alt
def heat(image: Tensor, maps: Mapping[str, Tensor], cmap: str = "inferno", width: float = 9.0) -> Figure:
    """A photo beside maps of it, each with its own colour bar.

    Args:
        image: the photo, (1, 3, H, W).
        maps: title → map (H, W), (1, H, W) or (1, 1, H, W).
    """
    height_over_width = image.shape[-2] / image.shape[-1]
    figure, axes = _tiles(1 + len(maps), None, width, height_over_width, titled=True)
    axes[0].imshow(to_pil(check(image, "image")))
    for axis, (title, values) in zip(axes[1:], maps.items(), strict=True):
        drawn = axis.imshow(values.detach().cpu().reshape(values.shape[-2:]).numpy(), cmap=cmap)
        axis.set_title(title, fontsize=FONT)
        figure.colorbar(drawn, ax=axis, shrink=0.7)
    return figure


def overlay(image: Tensor, values: Tensor, strength: float = 0.6, cmap: str = "inferno") -> Tensor:
    """A map (H, W), stretched to its own range and coloured, laid over a photo: an image (1, 3, H, W)."""
    values = values.detach().cpu().reshape(1, 1, *values.shape[-2:]).float()
    values = torch.nn.functional.interpolate(values, size=image.shape[-2:], mode="bilinear")[0, 0]
    low, high = values.min(), values.max()
    coloured = matplotlib.colormaps[cmap](((values - low) / (high - low).clamp_min(1e-12)).numpy())[..., :3]
    coloured = torch.from_numpy(coloured).permute(2, 0, 1)[None].to(image.dtype)
    return (1 - strength) * image.detach().cpu() + strength * coloured


@takes_alt
def curves(lines: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, log: bool = False, first: int = 1) -> Figure:
    """Named lines over the step number, such as the losses of a `Recording`, whose first step is number `first`."""
    figure = Figure(figsize=(6 if len(lines) > 1 else 5, 2.6), layout="constrained")
    axis = figure.subplots()
    for i, (name, values) in enumerate(lines.items()):
        again, kind = divmod(i, len(LINES))  # a style comes back as a thicker line
        steps = np.arange(first, first + len(values))
        axis.plot(steps, values, LINES[kind], linewidth=1.2 + again, label=name)
    if log:
        axis.set_yscale("log")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(alpha=0.3)
    if len(lines) > 1:
        axis.legend(fontsize=FONT, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@takes_alt
def responses(image: Tensor, filters: Tensor, maps: Tensor, titles: Sequence[str] | None = None) -> Figure:
    """A photo, and beside it filters above their signed response maps: red above zero, blue below, white zero.

    Args:
        image: the photo, (1, 3, H, W).
        filters: pictures of the filters, (K, 3, h, w) in [0, 1].
        maps: their responses, (K, H', W') or (1, K, H', W'). Each has its own range, symmetric about zero, that
            the strongest hundredth of its places exceeds.
        titles: one a filter.
    """
    maps = maps.detach().cpu().reshape(-1, *maps.shape[-2:])
    if not len(filters) == len(maps) == len(titles or maps):
        raise ValueError(f"filters, maps and titles must be as many, not {len(filters)}, {len(maps)}, {titles}")
    columns, width = 1 + len(maps), 12.0
    tile = width / columns
    figure = Figure(figsize=(width, tile * (0.5 + maps.shape[-2] / maps.shape[-1]) + 0.7), layout="constrained")
    axes = figure.subplots(2, columns, height_ratios=[0.5, maps.shape[-2] / maps.shape[-1]], squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    axes[1, 0].imshow(to_pil(check(image, "image")))
    for i, values in enumerate(maps.numpy()):
        axes[0, i + 1].imshow(to_pil(filters[i]), interpolation="nearest")
        if titles is not None:
            axes[0, i + 1].set_title(titles[i], fontsize=FONT)
        limit = max(float(np.quantile(abs(values), 0.99)), 1e-12)
        drawn = axes[1, i + 1].imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        bar = figure.colorbar(drawn, ax=axes[1, i + 1], orientation="horizontal", shrink=0.8, pad=0.02)
        bar.ax.tick_params(labelsize=FONT - 2)
    return figure


# ── Maps of pictures ─────────────────────────────────────────────────────────────────────────────────────────


def framed(images: Tensor, colours: Sequence[str], width: int = 2) -> Tensor:
    """Images (N, 3, H, W), each with a frame `width` pixels wide in its colour, any that Matplotlib knows."""
    images = check(images).clone()
    if len(colours) != len(images):
        raise ValueError(f"colours must have one entry for each of the {len(images)} images, not {len(colours)}")
    edge = torch.ones(images.shape[-2:], dtype=torch.bool, device=images.device)
    edge[width:-width, width:-width] = False
    for image, colour in zip(images, colours, strict=True):
        image[:, edge] = torch.tensor(to_rgb(colour)).to(image)[:, None]
    return images


def class_colours(labels: Sequence[int]) -> list[str]:
    """A colour for each label, the same for equal labels; from the eleventh label on they repeat."""
    return [f"C{label % 10}" for label in labels]


def _mark(label):
    """A mark for each label: the first hundred differ from each other by colour, by mark or by both."""
    return {"color": f"C{label % 10}", "marker": MARKS[(label + label // 10) % len(MARKS)], "linewidths": 0}


def picture_map(embedding: Tensor, pictures: Tensor, size: int = 900, labels: Sequence[int] | None = None) -> Tensor:
    """Every picture drawn at its point of an embedding, on white: one image (1, 3, size, size).

    Args:
        embedding: (N, 2); both axes have the same scale, y points upwards. Where pictures overlap, the later one
            is in front.
        pictures: (N, 3, H, W), drawn pixel for pixel.
        size: side of the map in pixels.
        labels: one a picture; given these, a picture is framed in the colour of its label.
    """
    points = embedding.detach().double().cpu()
    if points.shape != (len(pictures), 2):
        raise ValueError(
            f"embedding must have shape ({len(pictures)}, 2), a point a picture, not {tuple(points.shape)}"
        )
    height, width = check(pictures, "pictures").shape[-2:]
    if size <= max(height, width):
        raise ValueError(f"size must be above the pictures' {max(height, width)} pixels, not {size}")
    if labels is not None:
        pictures = framed(pictures, class_colours(labels), 1)
    low, high = points.amin(0), points.amax(0)
    scale = (size - max(height, width)) / (high - low).max().clamp_min(1e-300)
    across, up = ((points - (low + high) / 2) * scale).T
    left = (across + (size - width) / 2).round().int().tolist()
    top = ((size - height) / 2 - up).round().int().tolist()
    sheet = np.ones((3, size, size), dtype=np.float32)
    for picture, x, y in zip(pictures.detach().cpu().float().numpy(), left, top, strict=True):
        sheet[:, y : y + height, x : x + width] = picture
    return torch.from_numpy(sheet)[None]


def picture_grid(cells: Tensor, pictures: Tensor, labels: Sequence[int] | None = None) -> Tensor:
    """Every picture in its cell of a grid, on white, as one image; `cells` (N, 2) holds row and column."""
    if tuple(cells.shape) != (len(pictures), 2):
        raise ValueError(f"cells must have shape ({len(pictures)}, 2), a cell a picture, not {tuple(cells.shape)}")
    if labels is not None:
        pictures = framed(pictures, class_colours(labels), 1)
    height, width = check(pictures, "pictures").shape[-2:]
    rows, columns = (cells.amax(0) + 1).tolist()
    sheet = pictures.new_ones(3, rows * height, columns * width)
    for (row, column), picture in zip(cells.tolist(), pictures, strict=True):
        sheet[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return sheet[None]


def picture_table(shares: Tensor, heads: Tensor) -> Tensor:
    """A table of shares (C, C) as squares from white, 0, to black, 1, with `heads` above and beside it: one image.

    Args:
        heads: a picture for each row and column, (C, 3, H, W).
    """
    if tuple(shares.shape) != (len(heads), len(heads)):
        raise ValueError(f"shares must have shape ({len(heads)}, {len(heads)}), not {tuple(shares.shape)}")
    squares = (1 - shares.to(heads))[:, :, None, None, None].expand(-1, -1, *check(heads, "heads").shape[1:])
    rows = torch.cat([heads[:, None], squares], 1).flatten(0, 1)
    return grid(torch.cat([torch.ones_like(heads[:1]), heads, rows]), len(heads) + 1)


@takes_alt
def scatter(
    embeddings: Mapping[str, Tensor], labels: Sequence[int], classes: Sequence[str] = (), width: float = 9.0
) -> Figure:
    """Embeddings (N, 2) side by side as points, a mark and a colour a label; `classes` makes a legend."""
    figure, axes = _tiles(len(embeddings), None, width, 1.0, titled=True)
    labels = torch.as_tensor(labels).cpu().numpy()
    for axis, (title, embedding) in zip(axes, embeddings.items(), strict=True):
        points = embedding.detach().cpu().numpy()
        for label in np.unique(labels):
            name = classes[label] if len(classes) else None
            axis.scatter(*points[labels == label].T, s=14, label=name, **_mark(label))
        axis.set_title(title, fontsize=FONT)
        axis.set_aspect("equal", adjustable="datalim")
        axis.axis("on")
        axis.set(xticks=[], yticks=[])
    if len(classes):
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=10, markerscale=2, fontsize=7
        )
    return figure


@takes_alt
def named(
    embeddings: Mapping[str, Tensor], labels: Sequence[int], classes: Sequence[str], width: float = 11.0
) -> Figure:
    """Embeddings (N, 2) side by side as points, each kind in its mark and colour with its name at its middle."""
    figure, axes = _tiles(len(embeddings), None, width, 1.0, titled=True)
    labels = torch.as_tensor(labels).cpu().numpy()
    for axis, (title, embedding) in zip(axes, embeddings.items(), strict=True):
        points = embedding.detach().cpu().numpy()
        for label in np.unique(labels):
            kind = points[labels == label]
            axis.scatter(*kind.T, s=14, alpha=0.7, **_mark(label))
            word = axis.text(
                *np.median(kind, 0), classes[label], fontsize=FONT, ha="center", va="center", weight="bold"
            )
            word.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        axis.set_title(title, fontsize=FONT)
        axis.set_aspect("equal", adjustable="datalim")
        axis.axis("on")
        axis.set(xticks=[], yticks=[])
    return figure


@takes_alt
def ranked(rows: Mapping[str, Tensor], own: Tensor, most: int = 60, width: float = 12.0) -> Figure:
    """Rows of shares (N,) side by side as bars, the largest `most` of each in order: `own` in blue, others in orange.

    Args:
        own: a boolean for each entry of a row, (N,).
    """
    figure = Figure(figsize=(width, 2.6), layout="constrained")
    axes = figure.subplots(1, len(rows), squeeze=False)[0]
    for axis, (title, shares) in zip(axes, rows.items(), strict=True):
        order = shares.detach().cpu().argsort(descending=True)[:most]
        heights, mine = shares.detach().cpu()[order].numpy(), own.cpu()[order].numpy()
        ranks = np.arange(1, len(order) + 1)
        axis.bar(ranks[mine], heights[mine], width=0.8, color="C0", label="of the same photo")
        axis.bar(ranks[~mine], heights[~mine], width=0.8, color="C1", hatch="///", label="of another")
        axis.set_title(title, fontsize=FONT)
        axis.set(xlabel="neighbours, nearest first", ylim=(0, None))
    axes[0].set_ylabel("share")
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@takes_alt
def changes(
    image: Tensor,
    maps: Mapping[str, Tensor],
    box: Sequence[int] | None = None,
    scan=None,
    categories: Sequence[str] = (),
    limit: float = 0.5,
    width: float = 12.0,
) -> Figure:
    """A photo beside maps of what covering changes, all on one scale: red is lost, blue gained, white as before.

    Args:
        image: the photo, (1, 3, H, W).
        maps: title → map of differences, (H, W), (1, H, W) or (1, 1, H, W).
        box: (top, left, bottom, right) of a window that is outlined in the photo.
        scan: an `occlusion.Occluded`; its most probable classes are drawn at the centres of the windows, in colours.
        categories: the names of the network's classes, for `scan`.
        limit: where the scale ends; beyond it the colour stays.
    """
    count = 1 + len(maps) + (scan is not None)
    figure, axes = _tiles(count, None, width, image.shape[-2] / image.shape[-1], titled=True)
    photo = to_pil(check(image, "image"))
    axes[0].imshow(photo)
    axes[0].set_title("the window outlined" if box else "the photo", fontsize=FONT + 1)
    if box is not None:
        top, left, bottom, right = box
        for colour, line in (("black", 4), ("white", 2)):
            corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
            axes[0].plot(*corners, color=colour, linewidth=line, scalex=False, scaley=False)
    for axis, (title, values) in zip(axes[1:], maps.items(), strict=False):
        values = values.detach().cpu().reshape(values.shape[-2:]).numpy()
        drawn = axis.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit)
        axis.set_title(title, fontsize=FONT + 1)
    figure.colorbar(drawn, ax=list(axes[1 : 1 + len(maps)]), shrink=0.8, pad=0.01, extend="both")
    if scan is not None:
        _winners(axes[-1], photo, scan, categories)
    return figure


def _winners(axis, photo, scan, categories):
    """The most probable class at the centre of each window, the commonest ones named, over a faint photo."""
    axis.imshow(photo, alpha=0.35)
    found, counts = scan.winners.cpu().unique(return_counts=True)
    order = found[counts.argsort(descending=True, stable=True)].tolist()
    colours = ["#bbbbbb", "#0072b2", "#e69f00", "#56b4e9", "#cc79a7", "#f0e442"]  # told apart by every eye
    for colour, name in zip(colours, order, strict=False):
        rows, columns = (scan.winners.cpu() == name).nonzero(as_tuple=True)
        y, x = (torch.tensor(firsts)[at] + scan.patch / 2 for firsts, at in ((scan.tops, rows), (scan.lefts, columns)))
        label = f"{categories[name]} ({len(rows)})"
        axis.scatter(x, y, s=44, marker="s", color=colour, edgecolors="black", linewidths=0.5, label=label)
    axis.set_title(f"most probable, {scan.winners.numel()} windows", fontsize=FONT + 1)
    axis.legend(fontsize=FONT, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, frameon=False)


@takes_alt
def response_maps(
    filters: Tensor,
    maps: Tensor,
    titles: Sequence[str],
    passed: Tensor | None = None,
    limit: float | None = None,
    width: float = 12.0,
) -> Figure:
    """Filters above their signed response maps, all on one scale: red above zero, blue below, white zero.

    Args:
        filters: pictures of the filters, (K, 3, h, w) in [0, 1].
        maps: their responses, (K, H, W).
        titles: one a filter.
        passed: what the nonlinearity makes of them, (K, H, W), from black, 0, to white: a third row.
        limit: the end of the scale; default: one place in two hundred is beyond it.
    """
    maps = maps.detach().cpu()
    if not len(filters) == len(maps) == len(titles):
        raise ValueError(f"filters, maps and titles must be as many, not {len(filters)}, {len(maps)} and {len(titles)}")
    limit = limit or max(float(np.quantile(maps.abs().numpy(), 0.995)), 1e-12)
    rows = [(maps, {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}, "response", "both")]
    if passed is not None:
        passed = passed.detach().cpu()
        rows.append((passed, {"cmap": "gray", "vmin": 0, "vmax": max(float(passed.max()), 1e-12)}, "passes", "neither"))
    tile, aspect = (width - 1) / len(maps), maps.shape[-2] / maps.shape[-1]
    figure = Figure(figsize=(width, tile * (0.4 + len(rows) * aspect) + 0.4), layout="constrained")
    axes = figure.subplots(1 + len(rows), len(maps), height_ratios=[0.4] + [aspect] * len(rows), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for axis, picture, title in zip(axes[0], filters, titles, strict=True):
        axis.imshow(to_pil(picture), interpolation="nearest")
        axis.set_title(title, fontsize=FONT)
    for line, (values, scale, label, beyond) in zip(axes[1:], rows, strict=True):
        for axis, each in zip(line, values.numpy(), strict=True):
            drawn = axis.imshow(each, **scale)
        figure.colorbar(
            drawn, ax=line.tolist(), label=label, extend=beyond, shrink=0.9, aspect=18, pad=0.01, fraction=0.03
        )
    return figure
