"""`aimd run`: the operator as a process, from its flags to a clean stop."""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import anyio
import structlog

from aimd import __version__
from aimd.cli.addresses import allowed_addresses, is_local
from aimd.cli.environment import Environment, environment_in_effect, read_environment
from aimd.cli.settings import Flags
from aimd.cli.version import commit
from aimd.controllers.all import Gauges, build_reconcilers
from aimd.controllers.model_source.image_lists import FILTER_SECONDS
from aimd.controllers.service_template.discovery_slots import DiscoverySlots
from aimd.metrics.counts import FleetCounts
from aimd.metrics.history import FleetHistory
from aimd.metrics.registries import RegistryMetrics
from aimd.metrics.state import BuildInfo, FleetState
from aimd.planning.settings import ControllerSettings
from aimd.registry.client import connect_registries
from aimd.registry.options import RegistryOptions
from aimd.runtime.client import ClientOptions, connect
from aimd.runtime.errors import ApiError
from aimd.runtime.leader import LeaderElection, LeaseLost
from aimd.runtime.logging import configure, set_level
from aimd.runtime.manager import Manager, ManagerOptions
from aimd.runtime.metrics import Gated
from aimd.runtime.serving import ServingCertificate
from aimd.runtime.tracing import NoTracer, Tracer

LEASE = "3be10d2f.eai.amd.com"
"""Name of the leader's Lease; an operator that aimd reslots uses the same name, so that never both of them run."""

_OFF = ("", "0")
_AFTER_GRACE = 3.0
"""Seconds from the end of the shutdown timeout until the process exits anyway."""
LEVEL_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)

_log = structlog.get_logger()


def run_operator(flags: Flags) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Exits with status 1 after a fatal error, which is logged; with status 2 if a flag names a controller that does not
    exist, or enables traces without the library for them.
    """
    configure(flags.log_level, json=flags.log_json)
    for number in LEVEL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # One that arrives before there is a handler must not end the process.
    problems: list[BaseException] = []
    environment = read_environment()
    with _tracing(flags, environment) as tracer:
        try:
            anyio.run(operate, flags, environment, tracer)
        except* (ApiError, LeaseLost, OSError) as group:
            problems += _causes(group)
    for problem in problems:
        _log.error("fatal error, exiting", type=type(problem).__name__, error=str(problem))
    if problems:
        sys.exit(1)


@contextmanager
def _tracing(flags: Flags, environment: Environment) -> Iterator[Tracer]:
    """Yield the tracer that the flags ask for; on exit, send the last spans."""
    if not flags.tracing:
        yield NoTracer()
        return
    try:
        from aimd.cli.tracing import OpenTelemetryTracer, add_trace_ids
    except ModuleNotFoundError as error:
        hint = f"no module {error.name}; install it with: pip install 'aimd[tracing]'"
        print(f"aimd run: --tracing: {hint}", file=sys.stderr)
        sys.exit(2)
    configure(flags.log_level, json=flags.log_json, further=(add_trace_ids,))
    tracer = OpenTelemetryTracer(environment.pod_name)
    try:
        yield tracer
    finally:
        tracer.close()


async def operate(flags: Flags, environment: Environment, tracer: Tracer) -> None:
    """Run all controllers until SIGTERM or SIGINT. Raises what `connect` and `Manager.run` raise."""
    _log.info("starting", version=__version__, commit=commit(), namespace=environment.aim_system_namespace)
    _log.info("configuration", pod=environment.pod_name, **flags.in_effect)
    _log.info("environment", **environment_in_effect(os.environ))
    if flags.watch_namespaces:
        _log.info(
            "watching selected namespaces only; cluster-scoped kinds that aimd cannot read are disabled",
            namespaces=flags.watch_namespaces,
        )
    if flags.without_effect:
        _log.info("flags without effect", flags=flags.without_effect)
    registry_metrics = RegistryMetrics()
    access = ClientOptions(
        kubeconfig=flags.kubeconfig,
        service_account=environment.aimd_service_account_dir,
        user_agent=f"aimd/{__version__}",
        tracer=tracer,
    )
    async with (
        connect(access) as client,
        connect_registries(
            replace(
                registry_options(flags),
                addresses=await allowed_addresses(client, flags, environment),
                observer=registry_metrics.observe,
            )
        ) as registries,
    ):
        manager = Manager(client, manager_options(flags, environment))
        gauges = Gauges(DiscoverySlots(manager.cache, flags.discovery_slots))
        settings = controller_settings(flags, environment, local=is_local(client))
        reconcilers = build_reconcilers(client, manager.cache, settings, registries, gauges)
        _refuse_unknown(flags.named_controllers - {reconciler.name for reconciler in reconcilers})
        for reconciler in reconcilers:
            reconciler.workers = flags.workers_of(reconciler.name)
            manager.add(reconciler)
        _measure_fleet(manager, flags, gauges)
        for collector in registry_metrics.collectors:
            manager.metrics.registry.register(collector)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_on_signal, manager)
            tasks.start_soon(_change_level_on_signal, flags.log_level)
            await manager.run()
            tasks.cancel_scope.cancel()
    _log.info("stopped")


def _measure_fleet(manager: Manager, flags: Flags, gauges: Gauges) -> None:
    """Register the metrics of the fleet with the manager; its informers must have been added.

    Only the leader exports them, or sums over replicas would count the fleet several times.
    """
    limit = flags.object_metrics_limit if flags.object_metrics else 0
    registry = manager.metrics.registry
    registry.register(BuildInfo(commit()))
    cache = manager.cache
    for collector in (
        FleetState(cache, gauges.slots, limit, gauges.image_counts),
        FleetHistory(cache),
        FleetCounts(cache, limit),
    ):
        registry.register(Gated(collector, lambda: manager.leads))


def manager_options(flags: Flags, environment: Environment) -> ManagerOptions:
    """Return the options of the manager that the flags ask for."""
    return ManagerOptions(
        namespaces=flags.watch_namespaces,
        health_address="" if flags.health_probe_bind_address in _OFF else flags.health_probe_bind_address,
        metrics_address="" if flags.metrics_bind_address in _OFF else flags.metrics_bind_address,
        metrics_certificate=_serving_certificate(flags) if flags.metrics_secure else None,
        resync_period=flags.resync_period,
        leader_election=_leader_election(flags, environment) if flags.leader_elect else None,
        shutdown_timeout=flags.graceful_shutdown_timeout,
        tune_garbage_collection=True,
    )


def registry_options(flags: Flags) -> RegistryOptions:
    """Return the options of image registries that the flags ask for."""
    usual = RegistryOptions()
    return RegistryOptions(
        timeout=flags.registry_timeout,
        listing_timeout=FILTER_SECONDS,
        concurrency=flags.registry_concurrency,
        endpoints=flags.mirrors,
        docker_hub_api=flags.docker_hub_api or usual.docker_hub_api,
        github_api=flags.github_api or usual.github_api,
        user_agent=f"aimd/{__version__}",
    )


def controller_settings(flags: Flags, environment: Environment, *, local: bool = False) -> ControllerSettings:
    """Return what plans depend on of the flags and the environment.

    On a `local` control plane, which tests use, downloads may be simulated (ART-JOB-8).
    """
    settings = ControllerSettings(
        system_namespace=environment.aim_system_namespace,
        retry_base_seconds=int(flags.artifact_retry_base),
        discovery_slots=flags.discovery_slots,
        allow_debug=flags.allow_debug or local,
        allowed_download_images=flags.download_images,
        discovery_namespace=flags.discovery_namespace,
        discovery_service_accounts=frozenset(flags.discovery_service_accounts) - {environment.aim_service_account},
        discovery_secrets=frozenset(flags.discovery_secrets),
    )
    if flags.downloader_requests:
        settings = replace(settings, job_requests=flags.job_requests)
    return replace(settings, downloader_image=flags.downloader_image) if flags.downloader_image else settings


def _leader_election(flags: Flags, environment: Environment) -> LeaderElection:
    return LeaderElection(
        name=LEASE,
        namespace=environment.aim_system_namespace,
        identity=f"{environment.pod_name}_{uuid.uuid4()}",
        lease_duration=flags.leader_elect_lease_duration,
        renew_deadline=flags.leader_elect_renew_deadline,
        retry_period=flags.leader_elect_retry_period,
    )


def _serving_certificate(flags: Flags) -> ServingCertificate:
    return ServingCertificate(flags.metrics_cert_path, flags.metrics_cert_name, flags.metrics_cert_key)


def _refuse_unknown(controllers: frozenset[str]) -> None:
    if controllers:
        print(f"aimd run: --max-concurrent-reconciles: no controller {', '.join(sorted(controllers))}", file=sys.stderr)
        sys.exit(2)


async def _stop_on_signal(manager: Manager) -> None:
    """Stop in order at the first signal; exit at the second, or when stopping takes too long."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        stopping = False
        async for number in signals:
            if stopping:
                os._exit(1)
            stopping = True
            _log.info("stopping", signal=signal.Signals(number).name)
            manager.stop()
            last_resort = threading.Timer(manager.options.shutdown_timeout + _AFTER_GRACE, _exit_now)
            last_resort.daemon = True
            last_resort.start()


async def _change_level_on_signal(usual: str) -> None:
    """Set the log level to debug at SIGUSR1, and back to that of the flags at SIGUSR2."""
    with anyio.open_signal_receiver(*LEVEL_SIGNALS) as signals:
        async for number in signals:
            level = "debug" if number == signal.SIGUSR1 else usual
            set_level("debug")
            _log.info("log level changed", to=level)
            set_level(level)


def _exit_now() -> None:
    """Exit from a thread, because what does not end may block the event loop; the lease expires by itself."""
    _log.error("shutdown timed out, exiting")
    os._exit(1)


def _causes(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _causes(error)
        else:
            yield error
