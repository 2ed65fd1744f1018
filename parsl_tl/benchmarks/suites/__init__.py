"""What is measured. A ``Suite`` in a module here is an action of ``parsl-tl bench``.

Its class (see ``core.suite.Suite``) has the settings as fields, measures them into rows, and makes
tables and plots of the rows. Nothing else has to be told of a new suite; with ``small`` options it
takes part in ``parsl-tl bench all``.
"""
