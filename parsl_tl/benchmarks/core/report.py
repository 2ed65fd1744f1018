"""What every benchmark reports alike; see ``parsl_tl.reporting``."""

from parsl_tl.reporting.frame_plots import Plot as Plot
from parsl_tl.reporting.frame_plots import save_plot as save_plot
from parsl_tl.reporting.frame_plots import save_plots as save_plots
from parsl_tl.reporting.machine import machine_facts as machine_facts
from parsl_tl.reporting.machine import write_machine_facts as write_machine_facts
from parsl_tl.reporting.tables import percentiles as percentiles
from parsl_tl.reporting.tables import print_table as print_table
from parsl_tl.reporting.tables import short as short
from parsl_tl.reporting.tables import write_rows as write_rows
