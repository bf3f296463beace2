// Package mail writes letters to people: reminders of payments, invitations.
//
// A change asks for a letter with [Put], in its own transaction; the outbox hands it to
// [Handler], which gives it to a [Sender]: a mail server over SMTP ([NewSMTP]) or, in
// development, files in a folder ([NewFolder]). A letter is sent at least once: a crash
// between the server's yes and the end of the item sends it again, under the same Message-ID
// (RFC 5322, 3.6.4), by which mailboxes know it.
//
// A server that refuses a letter for good (a 5xx reply, RFC 5321) makes it a dead item, which
// operators see; everything else is tried again. Senders may be used concurrently and end
// with the context.
package mail
