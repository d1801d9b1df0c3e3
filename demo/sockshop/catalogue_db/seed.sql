INSERT INTO sock VALUES ('03fef6ac-1896-4ce8-bd69-b798f85c6e0b', 'Holy', 'Knitted around carefully placed nothing. One pair exists, it airs itself, and nobody has ever lost a foot in it for long.', 99.99, 1, '/catalogue/images/holy_1.jpeg', '/catalogue/images/holy_2.jpeg');
INSERT INTO sock VALUES ('3395a43e-2d88-40de-b95f-e00e1502085b', 'Colourful', 'Every colour we had left over, in stripes. Goes with anything, since something in it always matches.', 18, 438, '/catalogue/images/colourful_socks.jpg', '/catalogue/images/colourful_socks.jpg');
INSERT INTO sock VALUES ('510a0d7e-8e83-4193-b483-e27e09ddc34d', 'SuperSport XL', 'Padded at heel and toe, dry after a quarter of an hour, and fast even when it hangs on the line.', 15, 820, '/catalogue/images/puma_1.jpeg', '/catalogue/images/puma_2.jpeg');
INSERT INTO sock VALUES ('808a2de1-1aaa-4c25-a9b9-6612e8f29a38', 'Crossed', 'Two lines meet at the ankle and agree to differ. For long walks and for meetings that could have been one.', 17.32, 738, '/catalogue/images/cross_1.jpeg', '/catalogue/images/cross_2.jpeg');
INSERT INTO sock VALUES ('819e1fbf-8b7e-4f6d-811f-693534916a8b', 'Figueroa', 'Waves in green and blue, named after a street where it never rains. Wear them to dinner, keep them for the beach.', 14, 808, '/catalogue/images/WAT.jpg', '/catalogue/images/WAT2.jpg');
INSERT INTO sock VALUES ('837ab141-399e-4c1f-9abc-bace40296bac', 'Cat socks', 'Soft, warm and entirely unimpressed by you. Two ears, one face, and they land on their feet each time.', 15, 175, '/catalogue/images/catsocks.jpg', '/catalogue/images/catsocks2.jpg');
INSERT INTO sock VALUES ('a0a4f044-b040-410d-8ead-4de0446aec7e', 'Nerd leg', 'Bits and pieces for the calf: zeros and ones that spell something, if the light is right and you have the patience.', 7.99, 115, '/catalogue/images/bit_of_leg_1.jpeg', '/catalogue/images/bit_of_leg_2.jpeg');
INSERT INTO sock VALUES ('d3588630-ad8e-49df-bbd7-3167f7efb246', 'YouTube.sock', 'Press play at the ankle. It buffers no blisters and shows no advertisements, and there is always one more after it.', 10.99, 801, '/catalogue/images/youtube_1.jpeg', '/catalogue/images/youtube_2.jpeg');
INSERT INTO sock VALUES ('zzz4f044-b040-410d-8ead-4de0446aec7e', 'Classic', 'Brown and green diamonds, as worn by people who keep every receipt. Older than the cloud and still in production.', 12, 127, '/catalogue/images/classic.jpg', '/catalogue/images/classic2.jpg');

INSERT INTO tag (name) VALUES ('brown'), ('geek'), ('formal'), ('blue'), ('skin'), ('red'), ('action'), ('sport'), ('black'), ('magic'), ('green');

INSERT INTO sock_tag VALUES ('03fef6ac-1896-4ce8-bd69-b798f85c6e0b', 10), ('03fef6ac-1896-4ce8-bd69-b798f85c6e0b', 7);
INSERT INTO sock_tag VALUES ('3395a43e-2d88-40de-b95f-e00e1502085b', 1), ('3395a43e-2d88-40de-b95f-e00e1502085b', 4);
INSERT INTO sock_tag VALUES ('510a0d7e-8e83-4193-b483-e27e09ddc34d', 8), ('510a0d7e-8e83-4193-b483-e27e09ddc34d', 9), ('510a0d7e-8e83-4193-b483-e27e09ddc34d', 3);
INSERT INTO sock_tag VALUES ('808a2de1-1aaa-4c25-a9b9-6612e8f29a38', 4), ('808a2de1-1aaa-4c25-a9b9-6612e8f29a38', 6), ('808a2de1-1aaa-4c25-a9b9-6612e8f29a38', 7), ('808a2de1-1aaa-4c25-a9b9-6612e8f29a38', 3);
INSERT INTO sock_tag VALUES ('819e1fbf-8b7e-4f6d-811f-693534916a8b', 3), ('819e1fbf-8b7e-4f6d-811f-693534916a8b', 11), ('819e1fbf-8b7e-4f6d-811f-693534916a8b', 4);
INSERT INTO sock_tag VALUES ('837ab141-399e-4c1f-9abc-bace40296bac', 1), ('837ab141-399e-4c1f-9abc-bace40296bac', 11), ('837ab141-399e-4c1f-9abc-bace40296bac', 3);
INSERT INTO sock_tag VALUES ('a0a4f044-b040-410d-8ead-4de0446aec7e', 4), ('a0a4f044-b040-410d-8ead-4de0446aec7e', 5);
INSERT INTO sock_tag VALUES ('d3588630-ad8e-49df-bbd7-3167f7efb246', 2), ('d3588630-ad8e-49df-bbd7-3167f7efb246', 3);
INSERT INTO sock_tag VALUES ('zzz4f044-b040-410d-8ead-4de0446aec7e', 1), ('zzz4f044-b040-410d-8ead-4de0446aec7e', 11);
