package gcpsecrets

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// addresses are the members of a credentials file that say where a login is sent
// to.
var addresses = []string{"token_url", "token_uri", "token_info_url", "service_account_impersonation_url"}

// elsewhere returns the first member of a credentials file that has a login sent
// to another host than Google's, and "" where there is none. The file may be a
// part of the document, and with it the choice of who is given a token, or the
// content of a file of this machine.
func elsewhere(text []byte) (member string) {
	var file any
	if json.Unmarshal(text, &file) != nil {
		return ""
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, one := range value {
				walk(one)
			}
		case map[string]any:
			for key, one := range value {
				address, isText := one.(string)
				known := slices.ContainsFunc(addresses, func(name string) bool { return strings.EqualFold(name, key) })
				if known && isText && address != "" && !isGoogle(address) {
					member = key
				}
				walk(one)
			}
		}
	}
	walk(file)
	return member
}

func isGoogle(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.User == nil &&
		(strings.HasSuffix(u.Hostname(), ".googleapis.com") || u.Hostname() == "accounts.google.com") // as old keys have it
}
