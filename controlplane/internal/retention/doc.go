// Package retention removes deleted accounts for good once their time to be brought back
// has passed.
//
// An account can hold more than one transaction can delete, so a purge is a series of
// bounded transactions, each of which compares the account's record: the indexes go with
// what they point at, the record itself goes last. Whatever stops a purge in between leaves
// a deleted account that is due, and the next one goes on. Nobody can bring an account back
// after its purge time, so nothing is decided twice.
//
// Purging writes no audit events: the account's log goes with it.
package retention
