"""axe-core itself: what is wrong is found, what is right is not, and only where it was asked to look."""

import pytest
from axe import violations

RIGHT = """<!doctype html><html lang="en"><head><title>Right</title></head><body><main><h1>Right</h1>
<div class="panel"><label>steps <input></label><img alt="a cup" src="data:,"><p>read me</p></div>
</main></body></html>"""
WRONG = {
    "image-alt": ("alt=", "data-alt="),
    "label": ("<label>steps <input></label>", "<input>"),
    "color-contrast": ("<p>", '<p style="color: #aaa; background: #fff">'),
    "html-has-lang": ('lang="en"', ""),
}


@pytest.fixture(scope="module")
def empty(browser):
    page = browser.new_page()
    yield page
    page.close()


def test_a_right_page_has_no_violation(empty):
    empty.set_content(RIGHT)
    assert violations(empty) == [] == violations(empty, within=".panel")


@pytest.mark.parametrize("rule", WRONG)
def test_a_fault_is_named_with_its_place(empty, rule):
    empty.set_content(RIGHT.replace(*WRONG[rule]))
    (line,) = violations(empty)
    assert line.startswith(f"{rule}: ")
    assert violations(empty, within=".panel") == ([] if rule == "html-has-lang" else [line])


def test_where_nothing_is_to_be_seen_is_no_success(empty):
    empty.set_content(RIGHT)
    with pytest.raises(Exception, match="No elements found for include"):
        violations(empty, within=".film")
