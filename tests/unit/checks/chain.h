/*
 * chain.h - a message sealed by a.example, b.example and c.example in turn, by python3-dkim 1.1.4 with one key.
 */
#ifndef TESTS_CHECKS_CHAIN_H
#define TESTS_CHECKS_CHAIN_H

#define CHAIN_KEY_1 "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDRMCE3r+ZqeRiDMv6LyaiPvixsfNFNbCBE4u6ZNFM6UGdSoHj9452b"
#define CHAIN_KEY_2 "4wwjnPsBw2wRYkIEtWK7EBA8N/HwsAJ0mC4a4gOBHAPf48BqkaB8k8p2IBAcn1kwrnr/lY/r+D6wx0gfohkEGXbH6Bodf+OVt0+OqB/P2cI8OO/P0sw1HwIDAQAB"
#define CHAIN \
    "ARC-Seal: i=3; cv=pass; a=rsa-sha256; d=c.example; s=arc; t=1795292000;\r\n" \
    " b=NoGv+6yEGfo0k71+bs7HVOhzEgQEt/2+NmU7QGYIGb/+hPcHf5/xFojyQb7ziFI5vplkz\r\n" \
    " l+F4nBpq366P+OAsMnuUp/77H6KrfZZkKtINGi8qdh1CfODyCPgk3ZtEhepd3A9sIdVLWEC\r\n" \
    " VEY68fOKdnFY4bACdbeF0UPdxBFHcrE=\r\n" \
    "ARC-Message-Signature: i=3; a=rsa-sha256; c=relaxed/relaxed; d=c.example;\r\n" \
    " s=arc; t=1795292000; h=from : to : subject : date : message-id : from;\r\n" \
    " bh=qilzjhWhdBjYHUaNobsFtQnLhiKDGD06O50tKrURHB4=;\r\n" \
    " b=UBBONH3p8akswMRs0tU8HKEtaOMEYwV9KosjXwSHtK+yyJdapAZ6GGRBlpGYlpb8aMuRp\r\n" \
    " IEQhzr7p0Zt8TNirAlpQn/zEvKZYeJfCvNtEG5K+LfukpwmMyVYZNjBE7ui2wEln0ETejdu\r\n" \
    " 9B8J2NwA4lJ18lViG9RqPYcMm1H47lc=\r\n" \
    "ARC-Authentication-Results: i=3; mx.c.example; arc=pass;\r\n" \
    "  spf=none smtp.mailfrom=origin.example\r\n" \
    "ARC-Seal: i=2; cv=pass; a=rsa-sha256; d=b.example; s=arc; t=1795292000;\r\n" \
    " b=wc0sSr7QMTzVELLXojTRqcxvIg2kTtJbKxglRYvK/c/bjkyPY3NLUk/o/Vrr9HNniylhi\r\n" \
    " BG2pk1rp8KXzHveNGgWR5ZDUz5uq1LwaM+k6mvfxm4fTBVUMJnSQ8hzfiIEpjyomyFm8OzV\r\n" \
    " nj412o3P+4AW0+jBNUL6/EKfQ/PKR/Q=\r\n" \
    "ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed; d=b.example;\r\n" \
    " s=arc; t=1795292000; h=from : to : subject : date : message-id : from;\r\n" \
    " bh=qilzjhWhdBjYHUaNobsFtQnLhiKDGD06O50tKrURHB4=;\r\n" \
    " b=knuUhS/oWCR1xswp5fIanUQyTJnbqSJM4kqmEVeCd9zivkgtC1dnu19WmhwtU9N8jDjjG\r\n" \
    " vwhWujMBndZNwD/GSVDVM8pFyn7TuwUfCGhWLPll49mE/SlXTb/IWh6PmLEYuT7/OeFb6Te\r\n" \
    " Cn4/mxI0GFjvB7ZU7g3+Inyb1fbFtKQ=\r\n" \
    "ARC-Authentication-Results: i=2; mx.b.example; arc=pass;\r\n" \
    "  spf=fail smtp.mailfrom=origin.example;\r\n" \
    "  dkim=fail;\r\n" \
    "  dmarc=fail\r\n" \
    "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=a.example; s=arc; t=1795292000;\r\n" \
    " b=IJj95GLkMdB+d3YqdW9y0XKtprH+pdMI1JD93uKA4lWntnDx/qwWx53Avutg4rxkrIx8B\r\n" \
    " Rn8n4V14B5lAHCiplIg5kx51gWvEzjv3oIeMohKNGnurzBX/EYMNOrctp8dXv0VP5jnD1x9\r\n" \
    " 7pKFNurxHHyzJdq4Yfle8sHjnTuj+Xo=\r\n" \
    "ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=a.example;\r\n" \
    " s=arc; t=1795292000; h=from : to : subject : date : message-id : from;\r\n" \
    " bh=qilzjhWhdBjYHUaNobsFtQnLhiKDGD06O50tKrURHB4=;\r\n" \
    " b=uqoqfVByulA/5oIATgSPnL5m4+FI8kxnbs4qgsXrpsOcUJMhXL+3/OLo6sbWrZB6RY6rd\r\n" \
    " aVdoIEq/X+rxza6XY4E3ZUGJyiTfMF/zbYakgHhFYsxSuXmqM1otYd2tuzeRjs71wc9X9yp\r\n" \
    " X34bheInPOPwcAPQWqqLVIYzjMtkhKE=\r\n" \
    "ARC-Authentication-Results: i=1; mx.a.example; spf=pass smtp.mailfrom=origin.example;\r\n" \
    "  dkim=pass (good) header.d=origin.example;\r\n" \
    "  dmarc=pass header.from=origin.example\r\n" \
    "From: Author <author@origin.example>\r\n" \
    "To: list@lists.example\r\n" \
    "Subject: [list]  An  example\r\n" \
    "Date: Sat, 21 Nov 2026 20:15:00 +0000\r\n" \
    "Message-ID: <1@origin.example>\r\n" \
    "\r\n" \
    "Hello,\r\n" \
    "\r\n" \
    "a text  with  spaces \r\n" \
    "\r\n" \
    "\r\n"

#endif
