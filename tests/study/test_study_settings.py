"""What a study takes: values from programs, files and the command line; what it refuses."""

from dataclasses import replace

import pytest

from parsl_tl.cli.program import main
from parsl_tl.errors import CampaignError, InvalidValueError
from parsl_tl.search.settings import with_sizes
from parsl_tl.study import Case, Study, StudySettings

FILE = """
policies = ["freeze", "thaw:2"]
seeds = [3, 4]
max_evals = 10

[[cases]]
name = "small"
problem = "digits"
space = "dense-skip"
training = { epochs = 2 }
search = { population_size = 4 }
"""


def test_a_file_says_what_the_program_says(tmp_path):
    path = tmp_path / "cases.toml"
    path.write_text(FILE)
    case = Case(
        name="small",
        problem="digits",
        space="dense-skip",
        training={"epochs": 2},
        search={"population_size": 4},
    )
    settings = StudySettings(
        cases=(case,), policies=("freeze", "thaw:2"), seeds=(3, 4), max_evals=10
    )
    assert StudySettings.read(path) == settings
    assert settings.policies == ("scratch", "freeze", "thaw:2")
    assert settings.others == ("freeze", "thaw:2")
    kept = tmp_path / "study.json"
    kept.write_text(settings.as_json())
    assert StudySettings.read(kept) == settings
    assert StudySettings.read(path, seeds=[1]).seeds == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seeds = [3, 4]=>seeds = [3, 3]", "each seed must be named once"),
        ('"thaw:2"]=>"thaw:x"]', "thaw"),
        ('"thaw:2"]=>"melt"]', "melt"),
        ("max_evals = 10=>max_evals = 0", "max_evals is 0"),
        ("max_evals = 10=>max_eval = 10", "max_evals"),
        ('space = "dense-skip"=>', "lacks its space"),
        ('name = "small"=>name = "../other"', "names a case"),
        ("[[cases]]=>[cases", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, change, message):
    old, new = change.split("=>")
    assert old in FILE
    path = tmp_path / "cases.toml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(InvalidValueError, match=message):
        StudySettings.read(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "holds no study"),
        (["--problem", "digits"], "--space is needed"),
        (["--seeds", "1"], "--problem is needed"),
        (["--cases", "none.toml"], "none.toml cannot be read"),
        (["--cases", "none.toml", "--problem", "digits"], "leave problem out"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, capsys, options, message):
    assert main(["study", "--out", str(tmp_path / "study"), *options]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_study_is_carried_on_with_its_own_settings_only(tmp_path):
    settings = StudySettings(cases=(Case(name="a", problem="digits", space="dense-skip"),))
    (tmp_path / "study.json").write_text(settings.as_json())
    assert Study(tmp_path).settings == settings
    for other in (
        replace(settings, seeds=(1,)),
        replace(settings, policies=("scratch",)),
        replace(settings, max_evals=3),
        replace(settings, cases=(replace(settings.cases[0], max_evals=3),)),
    ):
        with pytest.raises(CampaignError, match="has other settings"):
            Study(tmp_path, other)


def test_a_study_is_added_to(tmp_path):
    settings = StudySettings(cases=(Case(name="a", problem="digits", space="dense-skip"),))
    (tmp_path / "study.json").write_text(settings.as_json())
    more = replace(
        settings,
        cases=(Case(name="b", problem="digits", space="feed-forward"), *settings.cases),
        policies=("scratch", "slow:0.1", *settings.policies[1:]),
        peers=("optuna-tpe",),
        seeds=(7, *settings.seeds),
        confidence=0.5,
    )
    assert Study(tmp_path, more).settings == more
    assert not settings.adds_to(more)


def test_tournaments_are_no_larger_than_a_population_that_is_given():
    assert with_sizes({}, 48) == {"population_size": 16, "sample_size": 5}
    assert with_sizes({"population_size": 4}, 48) == {"population_size": 4, "sample_size": 4}
    assert with_sizes({"sample_size": 2}, 3) == {"population_size": 2, "sample_size": 2}
