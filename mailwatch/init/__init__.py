"""From a mail address and a phone to a configuration: what `mailwatch init` asks and writes.

questions: one question, from the terminal or from a flag · interview: which questions, in which order, by which rule ·
channels: those of the channels · answers: what was answered, and the files that it makes (pure) · files: those files,
all in place at once or none.
"""

from mailwatch.init.answers import Answers, texts_of
from mailwatch.init.files import Staged
from mailwatch.init.interview import host_again, interview, login_again
from mailwatch.init.questions import Questions

__all__ = ["Answers", "Questions", "Staged", "host_again", "interview", "login_again", "texts_of"]
