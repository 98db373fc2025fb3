-- Secrets, and the versions of each that are kept. Values are sealed (encrypted
-- with age, with the name and the version inside) before they come here.

-- One sequence for all: a secret that is deleted and made anew never has a
-- version again that it had before.
CREATE SEQUENCE secret_number AS bigint;

CREATE TABLE secret (
	name text COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 512),
	version bigint NOT NULL, -- the current one
	owner text,              -- the gateway that it was stored for, and
	field text,              -- the JSON path that it was stored from; NULL for what is not ours
	created timestamptz NOT NULL DEFAULT now(),
	changed timestamptz NOT NULL DEFAULT now(),
	CHECK ((owner IS NULL) = (field IS NULL))
);

CREATE TABLE secret_version (
	name text COLLATE "C" NOT NULL REFERENCES secret ON DELETE CASCADE,
	version bigint NOT NULL,
	sealed bytea NOT NULL,
	recipients text NOT NULL, -- a fingerprint of the set that it is sealed for
	token text NOT NULL,      -- of the write that made it
	written timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (name, version)
);

-- What is encrypted does not compress.
ALTER TABLE secret_version ALTER sealed SET STORAGE EXTERNAL;
