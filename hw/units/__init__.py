"""The units that can be built, and how one is named and built: :mod:`hw.units.unit`."""
