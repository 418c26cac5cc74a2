"""Write the course as pages.

python -m helpers.site                            # nine pages and an index, in site/
python -m helpers.site 3 4 --no-films --out mine  # two lessons, their panels as stored
"""

import argparse
import sys
import time
from pathlib import Path

from helpers.core.images import write_atomically
from helpers.core.lessons import LESSONS, lesson
from helpers.site.films import films_of
from helpers.site.pages import cards, index_page, lesson_page


def main(arguments: list[str] | None = None) -> int:
    """Write the pages as the command line says; 1 if a film is missing from them."""
    missing = []

    def tell(line):
        missing.append(line)
        print(line, file=sys.stderr, flush=True)

    parser = argparse.ArgumentParser(prog="python -m helpers.site", description="Write the course as pages.")
    parser.add_argument("lessons", type=int, nargs="*", help=f"numbers from 1 to {len(LESSONS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("site"), help="a folder (default: site)")
    parser.add_argument("--no-films", action="store_true", help="leave panels as they are stored, which takes seconds")
    options = parser.parse_args(arguments)
    try:
        chosen = [lesson(number) for number in options.lessons] or list(LESSONS)
        there = {each.stem for each in LESSONS if each in chosen or (options.out / f"{each.stem}.html").exists()}
        for card in cards():
            if card.lesson in chosen:
                start = time.monotonic()
                films = {} if options.no_films else films_of(card.lesson, tell)
                write(options.out / card.page, lesson_page(card, there, films))
                print(f"{card.page}: {time.monotonic() - start:.0f} s", flush=True)
        write(options.out / "index.html", index_page(there))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"the pages cannot be written: {error}")
    print(f"Written to {options.out}: open {options.out / 'index.html'} in a browser.")
    return 1 if missing else 0


def write(path: Path, page: str) -> None:
    """All of a page or nothing."""
    write_atomically(path, lambda file: file.write(page.encode()))


if __name__ == "__main__":
    sys.exit(main())
