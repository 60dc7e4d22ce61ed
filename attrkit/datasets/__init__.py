"""Real series that ship in wheels, for examples and tests; nothing is downloaded."""

from attrkit.datasets.seattle_weather import seattle_weather as seattle_weather
