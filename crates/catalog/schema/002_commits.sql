-- Schema version 2. How many commits there were: the mark beside the file says the same, so that lost ones are noticed.

CREATE TABLE commits (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL
) STRICT;

INSERT INTO commits (one, number) VALUES (1, 0);
