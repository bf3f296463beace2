package onboard

import "strings"

// commonNames are the names below a domain that are looked at by a scan: there is no way to
// list a zone, and these are what most have. A name that begins with an underscore is asked
// for texts, or for services where its second label is a protocol.
func commonNames() []string {
	return strings.Fields(`
		www mail smtp imap pop pop3 mx mx1 mx2 webmail email autodiscover autoconfig
		api app apps admin portal dashboard my account accounts login auth sso id
		blog shop store news forum community wiki docs help support status kb faq
		cdn static assets img images media video files download downloads
		dev staging stage test qa demo beta sandbox preview
		m mobile web ftp sftp ssh vpn remote gateway proxy
		git gitlab jenkins ci grafana monitor calendar chat meet voip sip pbx
		cpanel whm webdisk ns1 ns2 ns3 ns4 server host secure intranet
		_dmarc _mta-sts _smtp._tls mta-sts
		default._domainkey google._domainkey selector1._domainkey selector2._domainkey
		k1._domainkey k2._domainkey k3._domainkey s1._domainkey s2._domainkey
		mail._domainkey dkim._domainkey mandrill._domainkey zoho._domainkey
		default._bimi _acme-challenge
		_autodiscover._tcp _imaps._tcp _submission._tcp _pop3s._tcp
		_sip._tls _sip._tcp _sip._udp _sipfederationtls._tcp
		_xmpp-client._tcp _xmpp-server._tcp _caldavs._tcp _carddavs._tcp
		enterpriseenrollment enterpriseregistration lyncdiscover msoid`)
}
