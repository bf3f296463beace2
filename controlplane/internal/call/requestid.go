package call

import "strings"

// maxRequestID bounds the ID of a request that its client gives.
const maxRequestID = 128

// SaneRequestID says whether a client's ID of a request is taken as it is: it goes into
// headers, logs and the audit log, so it has 1 to 128 of the signs that no log mistakes.
// Both doors of the API ask here, so that a call has one ID on its way.
func SaneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && strings.IndexByte("-_.:/+=", c) < 0 {
			return false
		}
	}
	return true
}
