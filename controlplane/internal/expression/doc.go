// Package expression is the language in which rate limits say which requests count.
//
//	path = "/login" AND method = "POST"
//	matches(path, "^/api/v[0-9]+/") AND NOT country = "CH"
//	(startsWith(path, "/cart/") OR endsWith(host, ".shop.example")) AND method != "GET"
//
// A condition compares a field with a text in double quotes: `path` (without the query
// string, beginning with a slash), `method` (in capitals), `host` (in lower case) or
// `country` (an ISO 3166-1 alpha-2 code, or `XX` where it is not known). `=` and `!=` and
// matches(field, "…"), a regular expression of RE2 that may match anywhere, work on every
// field; startsWith and endsWith on path and host. NOT binds tighter than AND and OR, and
// since people disagree about which of those two binds tighter, they may not meet without
// parentheses. Within quotes, `\"` is a quote and `\\` a backslash; any other backslash
// stands for itself, so that regular expressions read as usual.
//
// Everything about an expression is known before it meets a request. Its length and
// nesting are bounded, its cost is counted ([Expr.Cost]), regular expressions are measured
// before they are compiled, and conditions that no request can meet are refused with the
// reason; which hosts a site has is for [Expr.CheckHost]. RE2 matches in time linear in the
// request, so cost bounds the work of a request.
//
// [Parse] and [Expr.Match] are pure; an Expr never changes and may be used concurrently.
package expression
