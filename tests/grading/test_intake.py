"""A class comes in whatever way its platform sends it: nobody is lost, mixed up or let out of his folder."""

import os
import zipfile

import pytest
from classroom import LESSON
from test_submissions import notebook

from helpers.grading import intake
from helpers.grading.submissions import find

NAME = LESSON.notebook.name


def zipped(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in dict(names).items():
            archive.writestr(name, data)
    return path


def files_of(student):
    return [file.name for file in student.handed_in()]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "class").mkdir()
    return tmp_path / "class"


# ── Canvas ──


def test_canvas_names_are_taken_apart(tmp_path):
    names = {
        f"doejane_101_9001_{NAME}": notebook(2),
        f"doejane_101_9002_{LESSON.stem}-1.ipynb": notebook(2, value=7),
        f"lovelaceada_LATE_102_9003_{NAME}": notebook(1),
        "o_neil_103_9004_x.ipynb": notebook(1),
        "no owner.ipynb": notebook(1),
        f"__MACOSX/._doejane_101_9001_{NAME}": b"?",
    }
    found = intake.read(zipped(tmp_path / "canvas.zip", names))
    assert list(found.students) == ["doejane", "lovelaceada"]
    assert [line.partition(":")[0] for line in found.remarks] == ["`canvas.zip`"] * 2
    assert "whose `o_neil_103_9004_x.ipynb` is" in found.remarks[0] and "`no owner.ipynb`" in found.remarks[1]
    jane, ada = found.students.values()
    assert jane.ids == {"101"} and jane.places == {"canvas.zip": "doejane_101_9001_"}
    assert ada.places == {"canvas.zip": "lovelaceada_LATE_102_9003_"}
    (second,) = find(jane.handed_in())
    assert second.name == f"{LESSON.stem}-1.ipynb" and second.late is False and second.arrived is None
    assert "the other 2 (older)" in second.remark
    assert find(ada.handed_in())[0].late is True


def test_a_zip_file_within_the_zip_file_is_opened(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {f"course/{NAME}": notebook(3)}).read_bytes()
    found = intake.read(zipped(tmp_path / "canvas.zip", {"doejane_1_2_my work.zip": inner}))
    (submission,) = find(found.students["doejane"].handed_in())
    assert submission.name == f"my work.zip/course/{NAME}" and len(submission.answers) == 3


# ── Moodle ──


def test_moodle_folders_of_old_and_new_versions(tmp_path):
    names = {
        f"Ada Lovelace_12_assignsubmission_file_/{NAME}": notebook(2),
        f"Zoë O'Neil-Müller_13_assignsubmission_file/work/{NAME}": notebook(1),
        f"Ada Lovelace_14_assignsubmission_file_/{NAME}": notebook(1),
    }
    found = intake.read(zipped(tmp_path / "moodle.zip", names))
    assert list(found.students) == ["Ada Lovelace (12)", "Ada Lovelace (14)", "Zoë O'Neil-Müller"]
    zoe = found.students["Zoë O'Neil-Müller"]
    assert files_of(zoe) == [f"work/{NAME}"]
    assert zoe.places == {"moodle.zip": "Zoë O'Neil-Müller_13_assignsubmission_file_"}


def test_one_person_in_several_zip_files_is_one_student(folder):
    zipped(folder / "a.zip", {f"Ada Lovelace_12_assignsubmission_file_/{NAME}": notebook(1)})
    zipped(folder / "b.zip", {"Ada Lovelace_77_assignsubmission_file_/04_saliency.ipynb": notebook(1)})
    (folder / "Bo").mkdir()
    found = intake.read(folder).students
    assert list(found) == ["Ada Lovelace", "Bo"]
    assert found["Ada Lovelace"].ids == {"12", "77"} and set(found["Ada Lovelace"].places) == {"a.zip", "b.zip"}
    assert files_of(found["Ada Lovelace"]) == [NAME, "04_saliency.ipynb"]


# ── Harm ──


@pytest.mark.parametrize("name", ["../../{}", "/etc/{}", "a/../{}", "..\\{}", "C:/{}"])
def test_a_name_that_leads_out_is_refused_and_the_others_are_graded(tmp_path, name):
    outside = sorted(tmp_path.parent.rglob("*"))
    names = {name.format(f"eve_1_2_{NAME}"): notebook(1), f"ann_3_4_{NAME}": notebook(1)}
    found = intake.read(zipped(tmp_path / "class.zip", names))
    assert list(found.students) == ["ann"] and "leads out of it and was left out" in found.remarks[0]
    assert set(tmp_path.parent.rglob("*")) - set(outside) == {tmp_path / "class.zip"}


def test_links_bombs_and_broken_members_cost_only_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.grading.files.LARGEST", 10_000)
    monkeypatch.setattr("helpers.grading.answers.LARGEST", 10_000)
    link = zipfile.ZipInfo(f"eve_1_2_{NAME}")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "class.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr(f"bob_3_4_{NAME}", bytes(100_000_000))
        archive.writestr(f"ann_5_6_{NAME}", notebook(1))
    students = intake.read(tmp_path / "class.zip").students
    assert "this is a link" in find(students["eve"].handed_in())[0].problem
    assert "larger than" in find(students["bob"].handed_in())[0].problem
    assert len(find(students["ann"].handed_in())[0].answers) == 1


def test_a_zip_file_of_very_many_members_or_of_none_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MOST_MEMBERS", 2)
    path = zipped(tmp_path / "many.zip", {f"ann_1_{i}_{NAME}": b"" for i in range(3)})
    with pytest.raises(ValueError, match=r"holds none: `many.zip`: it holds more than the 2 files that are allowed"):
        intake.read(path)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"holds none: `many.zip`: this ZIP file is broken"):
        intake.read(path)


def test_what_is_neither_a_folder_nor_a_zip_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="SUBMISSIONS must be a folder or a ZIP file of Canvas or Moodle, not"):
        intake.read(tmp_path / "nowhere")


# ── Folders ──


def test_a_flat_folder_is_read_by_a_pattern(folder):
    for name in (f"ann_{NAME}", "ann_04_saliency.ipynb", f"Bo Li_{NAME}"):
        (folder / name).write_bytes(notebook(1))
    with pytest.raises(ValueError, match="whose this is, no pattern says"):
        intake.read(folder)
    found = intake.read(folder, pattern="{student}_0*.ipynb").students
    assert {name: files_of(each) for name, each in found.items()} == {
        "Bo Li": [f"Bo Li_{NAME}"],
        "ann": ["ann_03_occlusion.ipynb", "ann_04_saliency.ipynb"],
    }
    with pytest.raises(ValueError, match=r"--pattern must hold \{student\} once"):
        intake.read(folder, pattern="*.ipynb")


def test_when_a_file_came_is_the_date_in_the_teachers_folder(folder):
    (folder / "ann").mkdir()
    zipped(folder / "ann" / "work.zip", {NAME: notebook(1)})
    os.utime(folder / "ann" / "work.zip", (1e9, 1e9))
    assert find(intake.read(folder).students["ann"].handed_in())[0].arrived == 1e9


# ── Rosters ──

ROSTERS = {
    "canvas": "Student,ID,SIS Login ID,Section,3 Occlusion (55)\n    Points Possible,,,,4\n"
    '"Doe, Jane",101,jdoe,A,\n"Lovelace, Ada",102,ada,A,\n"Student, Test",9,,A,\n',
    "moodle": "Identifier,Full name,Email address\nParticipant 101,Jane Doe,j@x.org\nParticipant 5,Ada Lovelace,\n",
    "ours": "\ufefflast name;first name;id\nDoe;Jane;101\nLovelace;Ada;\n",
}


@pytest.mark.parametrize("kind", ROSTERS)
def test_the_roster_names_who_is_missing_and_who_is_strange(tmp_path, kind):
    (tmp_path / "roster.csv").write_text(ROSTERS[kind])
    path = zipped(tmp_path / "c.zip", {f"doejane_101_1_{NAME}": notebook(1), f"x_7_2_{NAME}": notebook(1)})
    found = intake.read(path, tmp_path / "roster.csv").students
    jane, ada = ("Doe, Jane", "Lovelace, Ada") if kind == "canvas" else ("Jane Doe", "Ada Lovelace")
    assert set(found) == {jane, ada, "x"}
    assert found[jane].remark == "" and "101" in found[jane].ids and files_of(found[jane]) == [NAME]
    assert found[ada].remark == "nothing was handed in" and files_of(found[ada]) == []
    assert found["x"].remark == "not on the roster"


@pytest.mark.parametrize("folder_name", ["Jane Doe", "doe jane", "JANE DOE", "Doe, Jane", "jdoe", "Jané Doe"])
def test_a_folder_is_matched_by_name_or_login(tmp_path, folder_name):
    (tmp_path / "class" / folder_name).mkdir(parents=True)
    (tmp_path / "r.csv").write_text('name,id\n"Doe, Jane",jdoe\n')
    (found,) = intake.read(tmp_path / "class", tmp_path / "r.csv").students.values()
    assert (found.name, found.remark) == ("Doe, Jane", "")


def told(tmp_path, roster, names):
    """Which of a ZIP file's students each of the class has become, by their numbers there."""
    (tmp_path / "roster.csv").write_text(roster)
    path = zipped(tmp_path / "c.zip", dict.fromkeys(names, notebook(1)))
    students = intake.read(path, tmp_path / "roster.csv").students
    return {name: sorted(start.split("_")[1] for start in each.places.values()) for name, each in students.items()}


def test_nobody_gets_anothers_work(tmp_path):
    folder = "{}_assignsubmission_file_/" + NAME
    twins = told(tmp_path, "name,id\nJane Doe,1\nJane Doe,2\n", [folder.format(f"Jane Doe_{i}") for i in (1, 2)])
    assert twins == {"Jane Doe (1)": ["1"], "Jane Doe (2)": ["2"]}
    chance = told(tmp_path, "name,id\nJane Doe,12\nBo Liu,13\n", [folder.format("Bo Liu_12")])
    assert chance == {"Jane Doe": [], "Bo Liu": ["12"]}
    turned = told(tmp_path, "name\nLi Na\nNa Li\n", [folder.format("Na Li_5"), folder.format("Li Na_6")])
    assert turned == {"Li Na": ["6"], "Na Li": ["5"]}


def test_two_numbers_of_canvas_are_two_people_in_several_files_too(folder):
    for name, number in (("a", 11), ("b", 22), ("c", 22)):
        zipped(folder / f"{name}.zip", {f"doejane_{number}_1_{NAME}": notebook(1)})
    found = intake.read(folder).students
    assert {name: sorted(each.places) for name, each in found.items()} == {
        "doejane (11)": ["a.zip"],
        "doejane (22)": ["b.zip", "c.zip"],
    }


@pytest.mark.parametrize(
    ("name", "short"), [("Vincent van Gogh", "vangoghvincent"), ("Jane O'Brien", "obrienjane"), ("Éva Kiss", "kisseva")]
)
def test_canvas_short_names_are_known_again(tmp_path, name, short):
    assert told(tmp_path, f"name\n{name}\n", [f"{short}_1_2_{NAME}"]) == {name: ["1"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--roster must have a head with a column 'name' or 'Student'"),
        ("a,b\n1,2\n", "--roster must have a head with a column 'name' or 'Student'"),
        (b"\xff\xfe\x00", "--roster must be a CSV file in UTF-8"),
    ],
)
def test_a_roster_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "ann").mkdir()
    (tmp_path / "r.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ValueError, match=message):
        intake.read(tmp_path, tmp_path / "r.csv")
    with pytest.raises(ValueError, match="--roster cannot be read"):
        intake.read(tmp_path, tmp_path / "nowhere.csv")
