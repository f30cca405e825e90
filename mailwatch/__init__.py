"""mailwatch watches mail folders for Amazon's cancellation requests and pushes one alert per request.

The way of one mail is the order of the modules: mailbox → message → notice → request → store → texts → transport;
`watch` joins them. The picture is in `docs/flow.md`, the words are in `docs/design.md`.
"""

__version__ = "0.1.0"
