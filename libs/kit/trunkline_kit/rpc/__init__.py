"""RPC between our services: one behaviour over sockets and inside a process.

Servicers raise `TrunklineError`; callers turn what they get back into one with `from_rpc_error`.
"""

from trunkline_kit.rpc.client_edge import from_rpc_error
from trunkline_kit.rpc.net import Net, Registrar
from trunkline_kit.rpc.options import NetOptions, ServeOptions

__all__ = ["Net", "NetOptions", "Registrar", "ServeOptions", "from_rpc_error"]
