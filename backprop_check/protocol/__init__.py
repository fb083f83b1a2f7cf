"""The wire protocol: how the harness talks to an implementation, which is untrusted.

- ``messages``, ``parsing``, ``text``: bytes become types, once; untrusted text becomes safe to show.
- ``pipes``, ``tree``, ``starting``, ``process``: one child process that reads and writes lines, and is always ended
  together with all processes that it started; on Linux it runs below ``keeper``, a separate program.
- ``memory``, ``signals``: the memory limit, and an orderly end on Ctrl-C and other signals.
- ``sandbox``, ``view``, ``unseen``: what a sandboxed port can reach, what it sees of the disk, what is hidden from it.
- ``answers``, ``echo``, ``flight``, ``finished``, ``exchange``, ``session``: hello, requests in flight, answers in
  order, finding the case that caused a failure, restarts.
- ``callable``: the same for a Python callable.  ``opening``: opens either of them from the text that the user wrote, as
  the ``options`` say.

Typical use::

    with open_implementation("dart run bin/port.dart", Opening(timeout=10)) as implementation:
        for answer in implementation.exchange(requests):
            ...
"""

from backprop_check.protocol.answers import Answer, Implementation, ImplementationInfo, Kind, Request
from backprop_check.protocol.callable import CallableImplementation, load_callable
from backprop_check.protocol.messages import (
    ECHO,
    PROTOCOL,
    HelloReply,
    LayerReply,
    Malformed,
    Message,
    Noise,
    Parsed,
    Reply,
    StepReply,
    Supports,
    hello_request,
    json_schema,
)
from backprop_check.protocol.opening import open_implementation, split_command
from backprop_check.protocol.options import Opening
from backprop_check.protocol.parsing import decode_value, parse_hello, parse_line
from backprop_check.protocol.process import Process
from backprop_check.protocol.sandbox import Limits
from backprop_check.protocol.session import SubprocessImplementation
from backprop_check.protocol.signals import Interruption, Terminated, orderly_signals
from backprop_check.protocol.text import clean_text, one_line

__all__ = [
    "ECHO",
    "PROTOCOL",
    "Answer",
    "CallableImplementation",
    "HelloReply",
    "Implementation",
    "ImplementationInfo",
    "Interruption",
    "Kind",
    "LayerReply",
    "Limits",
    "Malformed",
    "Message",
    "Noise",
    "Opening",
    "Parsed",
    "Process",
    "Reply",
    "Request",
    "StepReply",
    "SubprocessImplementation",
    "Supports",
    "Terminated",
    "clean_text",
    "decode_value",
    "hello_request",
    "json_schema",
    "load_callable",
    "one_line",
    "open_implementation",
    "orderly_signals",
    "parse_hello",
    "parse_line",
    "split_command",
]
