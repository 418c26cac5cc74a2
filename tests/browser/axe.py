"""What axe-core finds wrong with a page for those who read it by ear or by keyboard, or need contrast."""


def violations(page, within: str | None = None) -> list[str]:
    """Ask axe-core about a page of Playwright's as it is now, by all rules that are on by default.

    Args:
        page: a page in the browser; what is hidden on it is not looked at.
        within: a CSS selector: only what lies in its elements is looked at; it must be on the page.

    Returns:
        One line for each element found wanting: "rule: selector: what is asked (what is there instead)".
    """
    from axe_playwright_python.sync_playwright import Axe  # here: without a browser these tests are skipped

    found = []
    for rule in Axe().run(page, context=within).response["violations"]:
        for node in rule["nodes"]:
            why = [check["message"] for kind in ("any", "all", "none") for check in node[kind]]
            found.append(f"{rule['id']}: {' '.join(map(str, node['target']))}: {rule['help']} ({why[0]})")
    return found
