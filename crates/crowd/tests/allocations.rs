//! What a judgment allocates does not grow with the crowds asked.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use allocation_counter::measure;
use shop::{Shop, ten};
use std::sync::Arc;
use taghouse_rules::Definitions;

#[test]
fn nothing_is_allocated_for_each_crowd() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (shop, crowds) = runtime.block_on(async {
        let mut shop = Shop::with(&ten()).await;
        for n in 0..90 {
            let crowd = shop.define(&format!("over_{n}"), &format!("orders > {}", n % 9));
            shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
        }
        // Somebody is deleted, and is subtracted from each.
        let gone = shop.dictionary.lookup(&shop.app, &["u8"]).unwrap()[0].unwrap();
        shop.index
            .delete_users(&shop.app, shop.dictionary.generation(&shop.app), &[gone])
            .await
            .unwrap();
        let crowds: Vec<String> = (0..90).map(|n| format!("over_{n}")).collect();
        (shop, crowds)
    });
    let users = ["u9", "u8", "nobody"].map(str::to_owned);
    let judge = |crowds: &[String]| {
        let judged = runtime.block_on(shop.crowds.judge_batch(&shop.app, &users, crowds)).unwrap();
        assert!(
            judged.in_crowd[0].iter().all(|in_crowd| *in_crowd)
                && judged.in_crowd[1].iter().all(|in_crowd| !in_crowd)
        );
    };
    judge(&crowds);
    let allocations = |of: usize| measure(|| judge(&crowds[..of])).count_total;
    let (one, all) = (allocations(1), allocations(90));
    assert_eq!(one, all, "of 1 crowd and of 90");
    assert!(one < 40, "{one}");
}

#[test]
fn which_crowds_hold_a_user_allocates_nothing_for_those_that_do_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut shop, few) = runtime.block_on(async {
        let mut shop = Shop::with(&ten()).await;
        for n in 0..10 {
            let crowd = shop.define(&format!("over_{n}"), "orders > 8");
            shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
        }
        let few = Arc::new(shop.definitions.clone());
        (shop, few)
    });
    let asked = |shop: &Shop, definitions: &Arc<Definitions>| {
        let ask = || {
            let holding = runtime.block_on(shop.crowds.crowds_of(definitions, "u3")).unwrap();
            assert!(holding.crowds.is_empty() && holding.unanswered_count == 0, "{holding:?}");
        };
        ask();
        measure(ask).count_total
    };
    let of_few = asked(&shop, &few);
    let more = runtime.block_on(async {
        for n in 10..300 {
            let crowd = shop.define(&format!("over_{n}"), "orders > 8");
            shop.crowds.compute(&shop.definitions, &crowd).await.unwrap();
        }
        Arc::new(shop.definitions.clone())
    });
    let of_many = asked(&shop, &more);
    assert_eq!(of_few, of_many, "of 10 crowds and of 300");
    assert!(of_few < 30, "{of_few}");
}
