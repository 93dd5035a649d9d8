"""Fictional pod addresses, and where their ports really listen.

EndpointSlices refuse loopback addresses, and every predictor wants port 8000, so a pod that is really a local process
gets an address from a private network that is routed nowhere. Kubelet and gateway share this table, which says on which
loopback port a pod's port is served. No packet is ever sent to a fictional address.
"""

import ipaddress
from collections.abc import Iterator


class AddressTable:
    """(pod address, container port) → local port on 127.0.0.1; lives in the sandbox process only."""

    def __init__(self, network: str = "10.250.0.0/16") -> None:
        self._network = ipaddress.ip_network(network)
        self._candidates = self._endless()
        self._ports: dict[str, dict[int, int]] = {}

    def allocate(self) -> str:
        """An address no living pod has. Raises RuntimeError when the network is full.

        Addresses go round: one that was just released comes again last, so that an EndpointSlice which is still to
        be updated does not point to another pod.
        """
        for _ in range(self._network.num_addresses):
            address = next(self._candidates)
            if address not in self._ports:
                self._ports[address] = {}
                return address
        raise RuntimeError(f"no free pod address left in {self._network}")

    def release(self, address: str) -> None:
        """Forgets a pod's address and all its ports; no error if it is unknown."""
        self._ports.pop(address, None)

    def publish(self, address: str, port: int, local_port: int) -> None:
        """From now on `port` of the pod is served on `local_port`; raises KeyError for an address not allocated."""
        self._ports[address][port] = local_port

    def withdraw(self, address: str, port: int) -> None:
        """Nothing serves this port any more."""
        self._ports.get(address, {}).pop(port, None)

    def resolve(self, address: str, port: int) -> int | None:
        """The loopback port that serves a pod's port, None while nothing does."""
        return self._ports.get(address, {}).get(port)

    def _endless(self) -> Iterator[str]:
        while True:
            for address in self._network.hosts():
                yield str(address)
