-- Lines of the trail that say `begun` and have no second line with the end yet. What a process that died left here, the next one ends.
CREATE TABLE open_acts (id INTEGER PRIMARY KEY);
