"""Hashes of test images, for checks without their files; see `leak_guard`.

Set12 as in the FFDNet repository; of PolyU the 100 crops of the mean images.
"""

# Set → (height, width) → content hashes.
KNOWN_TESTS: dict[str, dict[tuple[int, int], str]] = {
    "set12": {
        (256, 256): (
            "6cb175a828da82db 9fd31678940bc58f 5ba6c8164b7024cc 7d0e901d9070fdc2 5fd21ae26aa70604 "
            "0b2dfac89d013fe7 c6acccb9fd7bf6a3"
        ),
        (512, 512): (
            "a37edfca13fa1c42 a7c72a0094b42d0a c3eedcbb68ce35da 7918f743b61e121d dad3abe15504fc0a"
        ),
    },
    "polyu": {
        (512, 512): (
            "8275c265e580724a f0035afb334deaaf e2d9bd86517510d0 5cf777ee5f01b99a 8bc783f83b6a9de2 "
            "eed0867b5e2b04da 0bf281ef3c285236 9e4c66269d1dbd03 7e72ea0a6000d202 117a6636f71c342d "
            "754cef46687ab5ea 3955698a9f3370c2 4951afbd9c0878e0 3892c9bc934ac5c0 f7aae7b5da4daf96 "
            "3012df1d472907ad 4a5930fd4b6c32e8 a54fd8b77dad4dd3 49caaa9f62620bdf 50839141baa06237 "
            "f0a778665759c2b1 496014256c0002c5 1ee5187751e499a9 daeac6817e181cb3 daa94df1a59535db "
            "319cf5a72506858c d5213cb6dcf64f7c 31b05009b1a1ce3c 41688bf010a47277 a8b139935dea4898 "
            "55bbff752f2ec1cb 7530ef2fb2383b8b 7a7c5d313b503929 f16892a6e6756285 8ba86ae32dd47e03 "
            "ee7d1b4b7c071e90 45a0d21ab7fce8a4 0cc01b663172f93d b197234117c0a8d3 d640f3e158dacfcd "
            "e3b93b36cb4bf7a1 90500ce75b087a48 c3ff5e70f34af516 88fe02e98384b3a0 3e8d70fcea3ff78b "
            "8bb2dac25e88c83c 83a0ad3e81f2580c 042284bf66448d58 543aa8f78410312e dad769120a91de2f "
            "56e2d723a67d24d2 1b8764e0cbc8f2f1 f0f39ffeb7f443d5 d098ed496781dda2 6c568cea2e830308 "
            "1be71dc3b7e60a96 e18c70c6acea3d90 8510fa46e2ffa4ad a8e19b05fba67d61 a119b2e4bc8819cf "
            "27724716051f51d5 7c47a4dc18fb82ff 8758f86a6977d152 519ab42f6cb755d4 bf989ba358761db3 "
            "3756974d61da98f0 841f8fd97498ae6b c01951fca4382848 e7d39164cdc2ce67 f3f1f15d0cf5415f "
            "5b84ca018391889e ddb9a368c47a48ed 55d6603745aa6b6c f64cc8e4c06578d0 4714b4686395d269 "
            "32e7835e5fbb6bf3 1b34ad69a0d0129a 9e93526a3d6830e0 2ae2e20d2310226f 9b2cf15c0522f560 "
            "fce571941df9c502 9c21d223088f7ffd 401b93ed17f4e83c ec56d88c8bc88ca8 c136c06e6e53ea39 "
            "99f41e98a58c6ef3 b7039ef92bdb985b 9a530813d1542b50 c3aea2b8aad11982 db4524f5e6c10744 "
            "a3728144338ada49 d666d2b0aa2399d1 0fd4a55e970ddf43 7f7a79d83ce52327 ec5e8305a2fca8f3 "
            "2b84370e2e047d5c f5ed0ae67af7c513 1bddaea4299153b0 a5eab6e0177e3f51 f28b2dc3240e916f"
        ),
    },
}
