"""Will the mail arrive? What a domain's records and a mail itself say about that.

Knows what things are and nothing else: it is handed records and mails, and gives checks. Its
sources are the standards and the rules of the large mailbox providers for bulk senders (Google's
"Email sender guidelines", answer 81126; Yahoo's "Sender best practices").
"""
