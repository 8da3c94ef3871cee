"""A study, cut into cells and run so that it can stop anywhere and go on.

| room | what |
|---|---|
| ``subjects`` | encoders out of the entries of a study, named and told apart |
| ``plan`` | what has to be embedded and measured: cells, targets, features; what it will cost |
| ``measures`` | what is worked out of one cell: points, panel, transfer |
| ``output`` | the files of a run: layout, records, tables, failures; status, garbage, repair |
| ``bucket`` | output in a bucket: objects, lease, mirror, upload |
| ``run`` | the stages, the tasks they are cut into, and who does them (here, processes, Ray) |

Imports point up this list; the first three know each other.
"""

from mgm_jax.sweep.bucket.mirror import mirrored
from mgm_jax.sweep.bucket.status import bucket_status
from mgm_jax.sweep.bucket.upload import Uploaded, upload_results
from mgm_jax.sweep.output.upkeep.garbage import Garbage, collect_garbage, find_garbage
from mgm_jax.sweep.output.upkeep.status import StudyStatus, study_status
from mgm_jax.sweep.run.executors.local import Executor
from mgm_jax.sweep.run.outputs import is_url, output_folder, refuse_url
from mgm_jax.sweep.run.planning import plan_study
from mgm_jax.sweep.run.study import StudyResult, run_study

__all__ = [
    "Executor",
    "Garbage",
    "StudyResult",
    "StudyStatus",
    "Uploaded",
    "bucket_status",
    "collect_garbage",
    "find_garbage",
    "is_url",
    "mirrored",
    "output_folder",
    "plan_study",
    "refuse_url",
    "run_study",
    "study_status",
    "upload_results",
]
