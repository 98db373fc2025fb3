package sources

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Facts are what is known of a backend without its client. This file is the one
// place where they stand: the backends themselves, lint, render and the test of
// docs/backends read them here.
type Facts struct {
	Type        string    // the value of vault_store.type: `aws-secrets-manager`
	Block       string    // the member of vault_store with its settings: `aws`
	Keys        []string  // the settings it knows, sorted
	Credentials []string  // those of them that must never be shown
	Begin       []Setting // what a new block begins with
	Names       Naming
	Traits      Traits // where it can be written
	// Ambient are the variables that its client takes a credential from by itself,
	// and that Bifrost has no use of its own for. A cloud's are none of them:
	// Bifrost's providers sign in with the same ones.
	Ambient []string
	// Variables are those that its client, or the backend itself, takes a
	// credential, an address or a file from. See [Facts.Trimmed].
	Variables []string
	// Addresses are the settings that say where a login goes; there are none where
	// that is the provider's own, whatever the settings. Named are the variables by
	// which the environment says it.
	Addresses, Named []string
}

// Setting is one of those that a new block begins with.
type Setting struct {
	Key string
	// Value is what to begin with: text in angle brackets where only a person knows
	// it, and env.NAME for a credential.
	Value string
	// Needed says that no block works without it. What is not needed may come from
	// the environment.
	Needed bool
}

// Backend is one entry of the list of backends that a program has.
type Backend struct {
	Facts
	Open Opener
}

// Table is every backend that there is.
var Table = []Facts{File, AWS, GCP, Vault, Azure, Postgres}

// File is a directory with one file a secret, or a JSON file.
var File = Facts{
	Type: "file", Block: "file",
	Keys:        []string{"identity", "path", "recipients"},
	Credentials: []string{"identity"},
	Begin:       []Setting{{"path", "secrets", true}},
	Names:       Naming{Parse: whole(func(name string) bool { return strings.IndexByte(name, 0) < 0 }), Says: "a file below the directory, or a member of the JSON file"},
	Traits:      Traits{Limits: Limits{Max: MaxValue, Empty: true, Binary: true}},
}

// AWS is AWS Secrets Manager. A name is parsed into the ARN up to its name, its
// region, its account and its name, which are empty where it is no ARN. The
// services of AWS that keep secrets for people, RDS for one, put their name and !
// before those; the name of an ARN may have the seven characters that AWS adds.
var AWS = Facts{
	Type: "aws-secrets-manager", Block: "aws",
	Keys:        []string{"access_key_id", "kms_key_id", "region", "role_arn", "secret_access_key", "session_token"},
	Credentials: []string{"access_key_id", "secret_access_key", "session_token"},
	Begin:       []Setting{{"region", "<region, such as eu-west-1>", false}},
	Names: Naming{
		Parse: pattern(`^(?:(arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):([0-9]{12}):secret:)([A-Za-z0-9/_+=.@!-]+)|([A-Za-z0-9/_+=.@!-]+))$`, 0, 0, 0, 519, 512),
		Says:  "1 to 512 of A-Z a-z 0-9 / _ + = . @ - !, or the ARN of a secret",
	},
	Variables: []string{
		"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_STS",
		"AWS_PROFILE", "AWS_REGION", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ACCOUNT_ID_ENDPOINT_MODE", "AWS_DEFAULTS_MODE", "AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
	},
	Traits: Traits{Limits: Limits{Max: 65_536}, Recoverable: true, History: true},
}

// GCP is GCP Secret Manager. The full name of a resource is parsed into its
// project, its id and its version, which may be empty.
var GCP = Facts{
	Type: "gcp-secret-manager", Block: "gcp",
	Keys:        []string{"credentials_json", "project_id"},
	Credentials: []string{"credentials_json"},
	Begin:       []Setting{{"project_id", "<project id>", true}},
	Names: Naming{
		Parse: pattern(`^(?://secretmanager\.googleapis\.com/)?projects/((?:[a-z0-9.-]{1,60}:)?[a-z0-9][a-z0-9-]{0,61})/secrets/([A-Za-z0-9_-]+)(?:/versions/([A-Za-z0-9_-]+))?$`, 0, 255, 63),
		Says:  "1 to 255 characters, of which each but A-Z a-z 0-9 _ - is kept as -xHH- and counts five, or projects/PROJECT/secrets/ID or projects/PROJECT/secrets/ID/versions/VERSION",
		// The second is how other services of Google write it.
		Full:    []string{"projects/", "//secretmanager.googleapis.com/"},
		Escapes: &Names{Allowed: func(c byte) bool { return Alphanumeric(c) || c == '-' || c == '_' }, Max: 255, System: "gcp"},
	},
	Variables: []string{"GCE_METADATA_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT", "GOOGLE_CLOUD_UNIVERSE_DOMAIN"},
	Traits:    Traits{Limits: Limits{Max: 65_536}, History: true},
}

// Vault is the key-value engine of HashiCorp Vault or of OpenBao.
var Vault = Facts{
	Type: "hashicorp-vault", Block: "hashicorp",
	Keys: []string{
		"address", "kubernetes_mount", "kubernetes_role", "kubernetes_token_file", "mount_path", "namespace",
		"role_id", "secret_id", "token", "token_file",
	},
	Credentials: []string{"role_id", "secret_id", "token"},
	Begin:       []Setting{{"address", "https://<host>:8200", false}, {"token", "env.VAULT_TOKEN", false}},
	Names: Naming{
		Parse: whole(func(name string) bool { return CheckPath(name) == "" }),
		Max:   maxPath, Says: "2048 bytes, parts between single slashes, neither . nor .., of printable characters without #",
		wrong: "is none that hashicorp-vault can have",
	},
	Ambient:   []string{"VAULT_TOKEN"},
	Addresses: []string{"address"}, Named: []string{"VAULT_AGENT_ADDR", "VAULT_ADDR"},
	Variables: []string{
		"VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_CACERT", "VAULT_CAPATH", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY", "VAULT_NAMESPACE",
		"VAULT_PROXY_ADDR", "VAULT_SKIP_VERIFY", "VAULT_TLS_SERVER_NAME", "VAULT_TOKEN",
		"VAULT_CLIENT_TIMEOUT", "VAULT_DISABLE_REDIRECTS", "VAULT_HTTP_PROXY", "VAULT_MAX_RETRIES", "VAULT_RATE_LIMIT", "VAULT_SRV_LOOKUP",
	},
	// Consul keeps entries of 512 KiB and integrated storage of 1 MiB, and a value may
	// grow when it is encoded.
	Traits: Traits{Limits: Limits{Max: 256 << 10, Empty: true}, Recoverable: true, History: true},
}

// Azure is Azure Key Vault. The id of a secret is parsed into the host of its
// vault, its name and its version, which may be empty.
var Azure = Facts{
	Type: "azure-key-vault", Block: "azure",
	Keys:        []string{"client_id", "client_secret", "tenant_id", "vault_url"},
	Credentials: []string{"client_secret"},
	Begin:       []Setting{{"vault_url", "https://<name>.vault.azure.net", true}},
	Names: Naming{
		Parse:   pattern(`^https://([^/]+)/secrets/([0-9A-Za-z-]+)(?:/([0-9a-f]{32}))?/?$`, 0, 127),
		Says:    "1 to 127 characters, of which each but A-Z a-z 0-9 - is kept as -xHH- and counts five, or the id of a secret: https://VAULT/secrets/NAME or https://VAULT/secrets/NAME/VERSION",
		Full:    []string{"https://"},
		Escapes: &Names{Allowed: func(c byte) bool { return Alphanumeric(c) || c == '-' }, Max: 127, Fold: true, System: "azure"},
	},
	Variables: []string{
		"AZURE_AUTHORITY_HOST", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
		"AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
		"AZURE_REGIONAL_AUTHORITY_NAME", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET",
	},
	Traits: Traits{Limits: Limits{Max: 25_600}, Recoverable: true, History: true},
}

// Postgres is a PostgreSQL that values are kept in, sealed. The variables are
// those of libpq that a connection is made of.
var Postgres = Facts{
	Type: "postgres", Block: "postgres",
	Keys:        []string{"db_name", "host", "identity", "keep", "password", "port", "recipients", "schema", "ssl_mode", "ssl_root_cert", "url", "user"},
	Credentials: []string{"identity", "password", "url"},
	Begin:       []Setting{{"url", "env.SECRETS_DATABASE_URL", false}, {"identity", "env.SECRETS_AGE_IDENTITY", true}},
	Names: Naming{
		Parse: whole(func(name string) bool {
			return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
		}),
		Max: 512, Says: "1 to 512 bytes of text without control characters",
	},
	Ambient:   []string{"PGPASSWORD", "PGSSLPASSWORD"},
	Addresses: []string{"host", "url"}, Named: []string{"PGHOST"},
	Variables: []string{
		"PGDATABASE", "PGHOST", "PGHOSTADDR", "PGPASSFILE", "PGPASSWORD", "PGPORT", "PGSERVICE", "PGSERVICEFILE",
		"PGSSLCERT", "PGSSLKEY", "PGSSLMODE", "PGSSLPASSWORD", "PGSSLROOTCERT", "PGUSER",
		"PGCHANNELBINDING", "PGCONNECT_TIMEOUT", "PGREQUIREAUTH", "PGSSLNEGOTIATION", "PGSSLSNI", "PGTARGETSESSIONATTRS",
	},
	// PostgreSQL would take more. There is a history where more than one version is kept.
	Traits: Traits{Limits: Limits{Max: MaxValue, Empty: true, Binary: true}, History: true},
}

// Known returns the facts of a vault_store.type; ok is false where there is none.
func Known(kind string) (f Facts, ok bool) {
	i := slices.IndexFunc(Table, func(f Facts) bool { return f.Type == kind })
	if i < 0 {
		return f, false
	}
	return Table[i], true
}

// CheckKeys returns an error of kind BadSettings that names the settings which
// the backend does not know.
func (f Facts) CheckKeys(set Settings) *Error {
	var unknown []string
	for key := range set {
		if !slices.Contains(f.Keys, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return NewError(BadSettings, "the "+f.Block+" block has settings that are not known: "+strings.Join(unknown, ", "),
		"the settings known are "+strings.Join(f.Keys, ", "))
}
