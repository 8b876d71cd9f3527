"""A cohort as an array job of SLURM: the script, and its submission.

A task that is told to leave gives its cases back and asks to be queued again; one whose worker dies starts another,
because the ledger counts what a case costs and gives it up after three attempts.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence

from prosect.cohort.watchdog import OVERDUE_STATUS
from prosect.errors import OutputError, ResourceError

__all__ = ["array_script", "submit"]

# Seconds before the end of its time at which a task is told; saving the largest result takes less.
NOTICE_S = 120
MOST_RESTARTS = 20
SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=prosect
#SBATCH --array=1-{tasks}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@{notice}
{options}
told=0
stop() {{ told=1; kill -TERM "$worker" 2>/dev/null; }}
trap stop TERM

for attempt in $(seq {restarts}); do
    {command} --part "$SLURM_ARRAY_TASK_ID/{tasks}" &
    worker=$!
    wait "$worker"
    status=$?
    # A signal ends the waiting before the worker has given its cases back.
    while kill -0 "$worker" 2>/dev/null; do
        wait "$worker"
        status=$?
    done
    if [ "$told" = 1 ]; then
        # The time of the task ends, or another job needs its place: what is left waits in the queue.
        scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
        exit 0
    fi
    # {overdue}: a scan took too long. Above 128: a signal killed the worker. Both are in the ledger; go on.
    if [ "$status" -ne {overdue} ] && [ "$status" -le 128 ]; then
        exit "$status"
    fi
done
exit "$status"
"""


def array_script(words: Sequence[str], tasks: int, options: Sequence[str] = ()) -> str:
    """Return the script of an array job.

    Args:
        words: The command of one worker, without its part.
        tasks: How many workers.
        options: Further options of sbatch without their dashes, such as `partition=gpu`.
    """
    lines = "".join(f"#SBATCH --{option}\n" for option in options)
    return SCRIPT.format(
        tasks=tasks,
        notice=NOTICE_S,
        options=lines,
        restarts=MOST_RESTARTS,
        command=shlex.join(words),
        overdue=OVERDUE_STATUS,
    )


def submit(
    script: str, run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run, timeout_s: float = 60.0
) -> str:
    """Hand a script to the scheduler and return the number of the job.

    Raises:
        ResourceError: There is no `sbatch` on this machine (`SLURM_MISSING`).
        OutputError: The scheduler refuses (`SLURM_REFUSED`); the message has its words.
    """
    try:
        done = run(["sbatch", "--parsable"], input=script, capture_output=True, text=True, timeout=timeout_s)
    except FileNotFoundError:
        raise ResourceError(
            "sbatch: there is no SLURM on this machine. Go to a login node, or leave out --submit and copy the script.",
            code="SLURM_MISSING",
        ) from None
    except subprocess.TimeoutExpired:
        raise OutputError(
            f"sbatch did not answer within {timeout_s:.0f} s. Ask squeue whether the job is there, then try again.",
            code="SLURM_REFUSED",
        ) from None
    if done.returncode != 0:
        words = " ".join(done.stderr.split())[:300]
        raise OutputError(
            f"sbatch refused the job ({words}). Change the options behind --sbatch.", code="SLURM_REFUSED"
        )
    # `--parsable` says NUMBER or NUMBER;CLUSTER.
    return done.stdout.strip().split(";")[0]
