"""Prefect and nothing else: applied plans become flows, tasks, deployments and artifacts.

File names are verb phrases: Prefect puts a flow file's folder first on `sys.path`, where `statistics.py` would shadow the
standard library's.
"""
