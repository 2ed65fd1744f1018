"""What is measured. A module here with a ``SUITE`` is an action of ``parsl-tl bench``.

``SUITE`` (see ``core.suite.Suite``) names the command, a dataclass of settings, and the functions
that check settings, measure them into rows, and make tables and plots of the rows. Nothing else
has to be told of a new suite; with ``small`` options it takes part in ``parsl-tl bench all``.
"""
