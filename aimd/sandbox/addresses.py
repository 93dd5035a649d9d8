"""Fictional pod addresses, and the loopback ports that stand for the ports of a pod.

EndpointSlices reject loopback addresses, and every predictor listens on port 8000. So a pod, which is a local process
here, gets an address of a private network that is routed nowhere. Kubelet and gateway share this table, which maps the
port of a pod to a loopback port. No packet is ever sent to a fictional address.
"""

import ipaddress
from collections.abc import Iterator


class AddressTable:
    """A map from pod address and container port to a port on 127.0.0.1, in the memory of the sandbox process."""

    def __init__(self, network: str = "10.250.0.0/16") -> None:
        self._network = ipaddress.ip_network(network)
        self._candidates = self._endless()
        self._ports: dict[str, dict[int, int]] = {}

    def allocate(self) -> str:
        """Return an address that no pod has. Raises RuntimeError if the network is full.

        All other addresses are used before one that was released, so that an EndpointSlice that is out of date does
        not point to another pod.
        """
        for _ in range(self._network.num_addresses):
            address = next(self._candidates)
            if address not in self._ports:
                self._ports[address] = {}
                return address
        raise RuntimeError(f"no free pod address left in {self._network}")

    def release(self, address: str) -> None:
        """Release the address of a pod with all its ports; an unknown address is ignored."""
        self._ports.pop(address, None)

    def publish(self, address: str, port: int, local_port: int) -> None:
        """Map `port` of a pod to `local_port`. Raises KeyError for an address that is not allocated."""
        self._ports[address][port] = local_port

    def withdraw(self, address: str, port: int) -> None:
        """Remove a port; an unknown one is ignored."""
        self._ports.get(address, {}).pop(port, None)

    def resolve(self, address: str, port: int) -> int | None:
        """Return the loopback port for the port of a pod, None if nothing listens there."""
        return self._ports.get(address, {}).get(port)

    def _endless(self) -> Iterator[str]:
        while True:
            for address in self._network.hosts():
                yield str(address)
