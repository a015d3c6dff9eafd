"""The accelerator: its configuration (:mod:`hw.machine.spec`) and its dataflows (:mod:`hw.machine.dataflows`)."""
