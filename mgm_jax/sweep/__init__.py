"""A study, cut into cells and run so that it can stop anywhere and go on.

``subjects`` makes encoders out of the entries of a study, ``cells`` and ``workload`` say what has
to be embedded and measured, ``tasks`` does one piece of it, ``executors`` say where the pieces are
done, ``tables`` puts the records of all cells together, ``run`` drives them. ``ledger`` names what
failed, ``layout`` which files belong to which study; ``status`` and ``garbage`` read these.
``bucket``, ``copies`` and ``lease`` are about output in a bucket, ``mirror`` lets one follow a run.
"""

from mgm_jax.sweep.bucket.mirror import mirrored
from mgm_jax.sweep.bucket.status import bucket_status
from mgm_jax.sweep.bucket.upload import Uploaded, upload_results
from mgm_jax.sweep.output.garbage import Garbage, collect_garbage, find_garbage
from mgm_jax.sweep.output.outputs import is_url, output_folder, refuse_url
from mgm_jax.sweep.output.status import StudyStatus, study_status
from mgm_jax.sweep.run.executors import Executor
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
