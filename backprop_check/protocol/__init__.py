"""The wire protocol: how the harness talks to an implementation, which it trusts in nothing.

- ``messages``, ``parsing``, ``text``: bytes become types, once; untrusted text becomes safe to show.
- ``pipes``, ``tree``, ``starting``, ``process``: one child process that speaks lines and always ends, with all it
  started; on Linux below ``keeper``, a program of its own.
- ``memory``, ``signals``: a limit for whoever is not trusted, and an orderly end when asked to stop.
- ``sandbox``, ``view``, ``unseen``: what whoever is not trusted can reach, sees of the disk, and does not see of ours.
- ``answers``, ``echo``, ``flight``, ``finished``, ``exchange``, ``session``: hello, requests in flight, answers in
  order, whose fault a trouble is, restarts.
- ``callable``: the same for a Python callable.  ``opening``: from what the user wrote to either of them.

Typical use::

    with open_implementation("dart run bin/port.dart", timeout=10) as implementation:
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
