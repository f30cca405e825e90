"""`mailwatch service`: mailwatch as a systemd service of the whole machine.

install: everything in place, started · remove: everything away but the state · look: how it fares. Below them: places,
where everything lies · settings: a seller's configuration as the service needs it · program: what is copied so that the
unit may run it · unit: its text · step: what is said and done · system: root, and the tools of the system.
"""

from mailwatch.service.install import install
from mailwatch.service.look import look
from mailwatch.service.remove import uninstall

__all__ = ["install", "look", "uninstall"]
