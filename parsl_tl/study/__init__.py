"""Studies of transfer: the same searches with each inheritance policy, compared fairly."""

from parsl_tl.study.settings import Case, StudySettings
from parsl_tl.study.study import Study

__all__ = ["Case", "Study", "StudySettings"]
