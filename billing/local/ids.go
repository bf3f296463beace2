package local

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
)

// digestLength is how much of an account's digest is in its IDs: 80 bits.
const digestLength = 16

// CustomerOf is the ID of an account's customer: an account always has the same.
func CustomerOf(account string) string {
	sum := sha256.Sum256([]byte(account))
	return "cus_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:digestLength]
}

func subscriptionID(customer string, n int64) string { return childID("sub_", customer, n) }

func invoiceID(customer string, n int64) string { return childID("in_", customer, n) }

// cardID is the ID of the card that was entered as the n-th; each account begins with one, 0.
func cardID(customer string, n int64) string { return childID("pm_", customer, n) }

func childID(prefix, customer string, n int64) string {
	return fmt.Sprintf("%s%s_%d", prefix, strings.TrimPrefix(customer, "cus_"), n)
}

// parseID is the customer and the number of a subscription's or an invoice's ID.
func parseID(prefix, id string) (customer string, n int64, ok bool) {
	rest, found := strings.CutPrefix(id, prefix)
	digest, number, both := strings.Cut(rest, "_")
	n, err := strconv.ParseInt(number, 10, 64)
	if !found || !both || len(digest) != digestLength || err != nil || n < 1 {
		return "", 0, false
	}
	return "cus_" + digest, n, true
}
