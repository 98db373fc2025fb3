//go:build unix

package service

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
)

// neededVariables are what a program such as Bifrost is started with by --clean-env:
// its own settings, and those of its runtime, its certificates, its proxies and its
// place in a cluster. None of them signs anybody in. A * at the end stands for any rest.
var neededVariables = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TERM",
	"APP_PORT", "APP_HOST", "LOG_LEVEL", "LOG_STYLE", "BIFROST_*",
	"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS",
}

// needs reports whether Bifrost is started with a variable by --clean-env. named are
// those that the config names.
func needs(name string, named []string) bool {
	return slices.Contains(named, name) || slices.ContainsFunc(neededVariables, func(one string) bool {
		start, any := strings.CutSuffix(one, "*")
		return name == one || any && strings.HasPrefix(name, start)
	})
}

// namedVariables are the variables that a document names: its env. references that
// are left for Bifrost, and what its stdio MCP servers are to inherit.
func namedVariables(doc *walker.Document, left []string) []string {
	named := slices.Clone(left)
	gjson.GetBytes(doc.Bytes(), "mcp.client_configs.#.stdio_config.envs").ForEach(func(_, envs gjson.Result) bool {
		envs.ForEach(func(_, env gjson.Result) bool {
			name, _, given := strings.Cut(env.String(), "=")
			if !given {
				named = append(named, name)
			}
			return true
		})
		return true
	})
	return named
}
