-- What stands behind the variables that were put into Bifrost's tables in the
-- place of vault. references. It holds no value of a secret.
CREATE TABLE reference (
	in_table text NOT NULL,
	in_row text NOT NULL, -- the primary key, as text
	in_column text NOT NULL,
	in_key text NOT NULL DEFAULT '', -- the path inside of a JSON document
	variable text NOT NULL, -- BIFROST_SECRET_...
	reference text NOT NULL, -- vault.path#key
	original text NOT NULL, -- as it was spelled, to be put back
	encryption_status text NOT NULL, -- of the row at that time
	since timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (in_table, in_row, in_column, in_key)
);
