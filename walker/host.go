package walker

import (
	"strings"

	"bifrost-secrets/walker/wordlist"
)

// HostLike reports whether a text that begins like a reference may be the name
// of a host, with or without a port and a path: `vault.example.com:8200`.
func HostLike(text string) bool {
	host, _, _ := strings.Cut(text, "/")
	host, port, hasPort := strings.Cut(host, ":")
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") || strings.ContainsAny(text, "# ") {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
		}) {
			return false
		}
	}
	return hasPort || len(labels) > 2 && domains.Has(strings.ToLower(labels[len(labels)-1]))
}

// domains are the last labels of the hosts that configs mostly name.
var domains = wordlist.Set{List: "com net org io dev app ai cloud co de uk eu fr nl us in jp internal local localdomain localhost svc lan corp intranet home arpa test example invalid"}

// Unfilled reports whether a part of a text stands in angle brackets, as what a person
// is to fill in does: https://<host>:8200.
func Unfilled(text string) bool {
	_, behind, open := strings.Cut(text, "<")
	return open && strings.Index(behind, ">") > 0
}

// WhatUnfilled says what such a text is.
const WhatUnfilled = "a part in angle brackets, which was to be filled in"
