"""Published texts: what they state, what had to be assumed and from where, and whether blind predictions match their figures."""

from gpuhours.questions.reproducing.document import Published as Published
from gpuhours.questions.reproducing.findings import Finding as Finding
from gpuhours.questions.reproducing.findings import Reproduction as Reproduction
from gpuhours.questions.reproducing.findings import Reproductions as Reproductions
from gpuhours.questions.reproducing.working import document_paths as document_paths
from gpuhours.questions.reproducing.working import reproduce as reproduce
from gpuhours.questions.reproducing.working import reproduce_file as reproduce_file
