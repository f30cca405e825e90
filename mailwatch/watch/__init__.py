"""The loop that joins the steps: one thread for each watched folder, one for each channel; they meet only in the store.

    search   mailbox.headlines → message → notice.read → store.record (request.decide inside its transaction)
    channel  outbox.due        → texts.word → transport sender → outbox.settle or outbox.postpone

loop: all workers of one `run` · folder: connecting and waiting · search: what is new in a folder · channel: sending ·
oversight: what no worker sees by itself (faults that last, stand-ins, digests, mornings) · heartbeat: all is well.
A worker ends only when told to stop. Its one broad `except` is at its top: whatever happens is logged, and the worker
starts again after a delay.
"""

from mailwatch.watch.loop import Watch, prepare
from mailwatch.watch.signals import SenderOf, ServerOf

__all__ = ["SenderOf", "ServerOf", "Watch", "prepare"]
