//! `listen` and `[[listener]]`: where the server listens, and what holds there.

use std::{ops::Range, sync::Arc};

use sterna_server::{ListenAt, ListenerRules};
use toml::{Spanned, de::DeTable};

use super::{Check, defence::network, listen_default, parse_listen};
use crate::settings::{Source, schema::ListenerTable};

impl Check<'_> {
    /// The addresses of `listen`, and the listeners with rules of their own.
    pub(super) fn listeners(
        &mut self,
        source: &Source,
        listen: Option<&[Spanned<String>]>,
        tables: Vec<Spanned<DeTable<'_>>>,
    ) -> Vec<ListenAt> {
        if listen.is_none() && tables.is_empty() {
            return vec![listen_default().into()];
        }
        let mut all = Vec::new();
        for text in listen.unwrap_or_default() {
            self.address(source, text.span(), "listen", text.get_ref(), Arc::default(), &mut all);
        }
        for table in tables {
            let span = table.span();
            let prefix = "listener.";
            if let Some(read) = source.read_table::<ListenerTable>(
                table.into_inner(),
                span.clone(),
                prefix,
                &mut self.errors,
            ) {
                self.listener(source, span, &read, &mut all);
            }
        }
        all
    }

    fn listener(
        &mut self,
        source: &Source,
        span: Range<usize>,
        table: &ListenerTable,
        all: &mut Vec<ListenAt>,
    ) {
        let mut rules = ListenerRules {
            read_only: table.read_only.unwrap_or(false),
            banner: table
                .banner
                .as_ref()
                .and_then(|text| self.banner(source, "listener.banner", text)),
            ..ListenerRules::default()
        };
        for text in table.proxy_from.iter().flatten() {
            match network(text.get_ref()) {
                Some(network) => rules.proxy_from.push(network),
                None => self.errors.push(source.error(
                    text.span(),
                    "listener.proxy_from",
                    "not an address or network such as \"192.0.2.0/24\"",
                )),
            }
        }
        if let Some(groups) = &table.groups {
            for group in groups.iter().filter(|group| !self.groups.contains_key(group.get_ref())) {
                let why = format!("there is no [[group]] {:?}", group.get_ref());
                self.errors.push(source.error(group.span(), "listener.groups", why));
            }
            rules.groups = Some(groups.iter().map(|group| group.get_ref().clone()).collect());
        }
        match &table.address {
            Some(text) => {
                let key = "listener.address";
                self.address(source, text.span(), key, text.get_ref(), Arc::new(rules), all);
            }
            None => self.errors.push(source.error(span, "listener.address", "is missing")),
        }
    }

    fn address(
        &mut self,
        source: &Source,
        span: Range<usize>,
        key: &str,
        text: &str,
        rules: Arc<ListenerRules>,
        all: &mut Vec<ListenAt>,
    ) {
        let why = match parse_listen(text) {
            None => "not an address such as \"127.0.0.1:2022\" or \"[::]:2022\"",
            Some(address)
                if address.port() != 0 && all.iter().any(|other| other.address == address) =>
            {
                "is listened on already"
            }
            Some(address) => return all.push(ListenAt { address, rules }),
        };
        self.errors.push(source.error(span, key, why));
    }
}
