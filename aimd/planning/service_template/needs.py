"""Live reads about a discovery: the pinned profile, a slot for its Job, its output, and why it does not run."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from aimd.planning.image_inspection import Inspection
from aimd.planning.jobs import JobPhase, job_phase
from aimd.planning.needs import DiscoverySlot, Need, ReadEvents, ReadList, ReadLog, Reads, Refused
from aimd.planning.objects import phase_of
from aimd.planning.pod_failures import LOG_LINES, needs_log
from aimd.planning.pods import STARTING_SECONDS, needs_events, newest
from aimd.planning.service_template.discovery import DiscoveryRun, output_wanted
from aimd.planning.service_template.discovery_job import CONTAINER
from aimd.planning.service_template.discovery_output import LOG_LIMIT
from aimd.planning.service_template.image_profile import plan_reading, profile_need
from aimd.planning.service_template.observed import ObservedTemplate, discovery_context, wants_discovery
from aimd.planning.time import age_seconds
from aimd.runtime.kinds import POD
from aimd.runtime.objects import Manifest, key_of, uid_of

_OUTPUT_LINES = 20_000


def discovery_needs(observed: ObservedTemplate, now: datetime) -> tuple[Need, ...]:
    """Return the live reads that a decision about the discovery depends on."""
    context, run = discovery_context(observed), observed.run
    if context is None:
        return ()
    inspection = profile_need(context, run)
    asked = (inspection,) if inspection is not None else ()
    if plan_reading(context, run, observed.inspection) is not None:
        return asked
    if wants_discovery(observed, run, now):
        return (*asked, DiscoverySlot(context.kind, observed.key))
    if asked:
        return asked
    if run.job is None:
        return ()
    if output_wanted(context, run):
        return (_output_need(run, run.job),)
    if job_phase(run.job) is JobPhase.FAILED:
        failed = (pod for pod in run.pods if phase_of(pod) == "Failed" and needs_log(pod, {}))
        return tuple(ReadLog(key_of(pod), LOG_LINES) for pod in failed)
    if job_phase(run.job) is JobPhase.RUNNING:
        if not run.pods and age_seconds(run.job, now) >= STARTING_SECONDS:
            return (ReadEvents(key_of(run.job), uid_of(run.job)),)
        return tuple(ReadEvents(key_of(pod), uid_of(pod)) for pod in run.pods if needs_events(pod))
    return ()


def with_reads(observed: ObservedTemplate, reads: Reads) -> ObservedTemplate:
    """Return what was observed together with what was read."""
    context, run = discovery_context(observed), observed.run
    if context is None:
        return observed
    run = replace(
        run,
        may_start=reads.granted(DiscoverySlot(context.kind, observed.key)),
        tails=reads.logs(),
        events=reads.events(),
    )
    if run.job is not None and output_wanted(context, run):
        run = _with_output(run, run.job, reads)
    inspection = profile_need(context, run)
    answer: Inspection | None = reads.answers.get(inspection) if inspection is not None else None
    return replace(observed, run=run, inspection=answer)


def _output_need(run: DiscoveryRun, job: Manifest) -> Need:
    """Return the log of the pod that succeeded; while the cache has none, the pods that the server has."""
    done = _succeeded(run.pods)
    return _output_of(done) if done is not None else _pods_of(job)


def _with_output(run: DiscoveryRun, job: Manifest, reads: Reads) -> DiscoveryRun:
    """Return the run with what its pod printed; that is lost when the pod is gone or its log cannot be read.

    The cache may not have the pod of a Job that has just completed, so pods are listed from the server before it
    counts as gone.
    """
    listed = reads.list(_pods_of(job))
    done = _succeeded(run.pods) or _succeeded(listed or ())
    if done is None:
        gone = "its pod was gone before its output could be read"
        return replace(run, unreadable=gone if listed is not None else "")
    if listed is not None:
        run = replace(run, pods=listed)
    answer = reads.log(_output_of(done))
    if isinstance(answer, Refused):
        return replace(run, unreadable=f"its output cannot be read: {answer.message}")
    return replace(run, log=answer)


def _pods_of(job: Manifest) -> ReadList:
    key = key_of(job)
    return ReadList(POD, key.namespace, f"job-name={key.name}")


def _output_of(pod: Manifest) -> ReadLog:
    return ReadLog(key_of(pod), _OUTPUT_LINES, CONTAINER, LOG_LIMIT, required=True)


def _succeeded(pods: Iterable[Manifest]) -> Manifest | None:
    return newest(pod for pod in pods if phase_of(pod) == "Succeeded")
