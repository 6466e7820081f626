"""Prefect and nothing else: applied plans become flows, tasks, deployments and artifacts.

File names are verb phrases: Prefect puts a flow file's folder first on `sys.path`, where `statistics.py` would shadow the
standard library's.
"""

from carillon.kernel.collecting import collect_rarely

collect_rarely()  # before Prefect is imported: that is most of a run's start
