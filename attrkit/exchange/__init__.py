"""Results of other toolkits, read and written in their own formats; what is an array is `attrkit.from_arrays`'s."""
